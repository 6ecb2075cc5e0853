// How a page of `farsight play` is laid out: the robot's stage, the controls under it, the plots beside it; desk and phone.

export const PLAY_STYLE = `
:root{color-scheme:light;--page:#f5f6f8;--card:#ffffff;--text:#1a1f27;--quiet:#5d6775;--edge:#d9dee6;--accent:#2563c9;--warm:#d4660a;--bad:#c6303e;--stage:#e8edf4}
@media (prefers-color-scheme:dark){:root{color-scheme:dark;--page:#0e1116;--card:#171b22;--text:#e6e9ee;--quiet:#98a2b0;--edge:#2a303a;--accent:#6ea3f7;--warm:#f2994a;--bad:#f2707a;--stage:#12161d}}
*{box-sizing:border-box}
html,body{height:100%;margin:0}
body{display:grid;grid-template:minmax(0,1fr) auto/minmax(0,1fr) 340px;grid-template-areas:"stage plots" "controls plots";background:var(--page);color:var(--text);font:14px/1.4 system-ui,-apple-system,"Segoe UI",sans-serif;font-variant-numeric:tabular-nums}
#stage{grid-area:stage;position:relative;background:var(--stage);overflow:hidden;min-height:0}
#stage canvas{position:absolute;inset:0;width:100%;height:100%;display:block;touch-action:none;outline:none}
#head{position:absolute;left:16px;top:12px;right:16px;pointer-events:none;display:flex;justify-content:space-between;gap:16px}
h1{margin:0;font-size:20px;line-height:1.2}
#head small{color:var(--quiet);display:block;margin-top:2px}
#score{text-align:right}
#score b{font-size:26px;line-height:1.1;font-weight:650}
#note{position:absolute;left:50%;bottom:14px;transform:translateX(-50%);background:var(--card);border:1px solid var(--edge);border-radius:8px;padding:6px 12px;max-width:92%;opacity:0;transition:opacity .2s;pointer-events:none}
#note.shown{opacity:1}
#note.bad{border-color:var(--bad);color:var(--bad);font-weight:600}
#controls{grid-area:controls;display:flex;flex-wrap:wrap;align-items:center;gap:8px 10px;padding:10px 12px;background:var(--card);border-top:1px solid var(--edge)}
button,select,input{font:inherit;color:inherit;background:var(--page);border:1px solid var(--edge);border-radius:8px;min-height:34px;padding:4px 11px}
button{cursor:pointer;white-space:nowrap}
button:hover{border-color:var(--accent)}
button.main{background:var(--accent);border-color:var(--accent);color:var(--card);min-width:86px;font-weight:600}
:focus-visible{outline:2px solid var(--accent);outline-offset:1px}
label{display:flex;align-items:center;gap:6px;color:var(--quiet);white-space:nowrap}
label select,label input{color:var(--text)}
input:invalid{border-color:var(--bad);color:var(--bad)}
#seed{width:112px}
#faults{width:min(230px,46vw)}
#plots{grid-area:plots;overflow-y:auto;padding:12px 14px 20px;background:var(--card);border-left:1px solid var(--edge)}
#plots h2{display:flex;justify-content:space-between;margin:14px 0 4px;font-size:13px;font-weight:600}
#plots h2:first-child{margin-top:0}
#plots h2 span{font-weight:400;color:var(--quiet)}
#plots i{font-style:normal}
#plots .wanted{color:var(--accent)}
#plots .told{color:var(--warm)}
#plots canvas{display:block;width:100%}
#plots p{margin:10px 0 0;color:var(--quiet);font-size:12px;overflow-wrap:anywhere}
kbd{font:11px ui-monospace,SFMono-Regular,Consolas,monospace;border:1px solid var(--edge);border-radius:4px;padding:0 4px}
@media (max-width:820px){
body{display:block;height:auto}
#stage{height:58vh;height:58svh;position:sticky;top:0}
#controls,#plots{position:relative}
#controls{border-bottom:1px solid var(--edge)}
#plots{border-left:0}
#keys{display:none}
}`;

/** Everything inside the body but for the data; `task` is escaped already. */
export function playBody(task: string): string {
  return `<main id="stage">
<canvas tabindex="0" aria-label="The simulated robot; drag it to push it, drag beside it to look around"></canvas>
<div id="head"><div><h1>${task}</h1><small id="about">MuJoCo is starting …</small></div>
<div id="score"><b id="return">0</b><small id="count"></small></div></div>
<div id="note" role="status"></div>
</main>
<section id="controls" aria-label="Controls">
<button class="main" id="pause" title="Space">Pause</button>
<button id="step" title="Right arrow">Step</button>
<label>Speed <select id="speed" title="Up and down arrows"><option value="0.125">⅛</option><option value="0.25">¼</option><option value="0.5">½</option><option value="1" selected>1×</option><option value="2">2×</option><option value="4">4×</option></select></label>
<button id="restart" title="R">Restart</button>
<label>Seed <input id="seed" type="number" min="0" step="1" required inputmode="numeric"></label>
<button id="next" title="N">Another</button>
<button id="push" title="P; or drag the robot">Push</button>
<label>Limits <select id="limits" title="L"><option value="training">as in training</option><option value="robot">as on the robot</option><option value="none">none</option></select></label>
<label>Fault <select id="fault"></select></label>
<input id="faults" list="settings" placeholder="faults: mass=1.2 delay=0.02" aria-label="Faults, key=value, separated by spaces" autocomplete="off" autocapitalize="off" spellcheck="false">
<button id="rearm" hidden>Rearm</button>
</section>
<aside id="plots">
<h2>Reward <span id="rewardNow"></span></h2><canvas id="rewardPlot" height="90"></canvas>
<h2>Action <span><i class="wanted">policy</i> · <i class="told">actuators</i></span></h2><canvas id="actionPlot"></canvas>
<h2>Observation</h2><canvas id="observationPlot"></canvas>
<p id="keys"><kbd>Space</kbd> pause · <kbd>→</kbd> step · <kbd>↑</kbd> <kbd>↓</kbd> speed · <kbd>R</kbd> restart · <kbd>N</kbd> another seed · <kbd>P</kbd> push · <kbd>L</kbd> limits · <kbd>H</kbd> camera</p>
<p id="origin"></p>
</aside>`;
}
