// How reports look: one palette for light and dark, the strokes of charts, the layout of a page on desk, phone and paper.

const LIGHT = ['#2563c9', '#d4660a', '#1b8a5a', '#8a4fd0', '#c6303e', '#6b7280'];
const DARK = ['#6ea3f7', '#f2994a', '#4cc38a', '#b993f5', '#f2707a', '#9aa4b2'];
/** Series colours are the classes c1 to c6. */
export const COLORS = LIGHT.length;

const colors = (palette: string[]) => palette.map((color, i) => `.c${i + 1}{color:${color}}`).join('');

/** For any document that holds a chart; works where custom properties do not. */
export const CHART_STYLE = `
${colors(LIGHT)}
.line{fill:none;stroke:currentColor;stroke-width:1.8;stroke-linejoin:round;stroke-linecap:round}
.single{fill:none;stroke:currentColor;stroke-width:5;stroke-linecap:round}
.dashed{stroke-dasharray:5 4}
.faint{stroke-width:1;stroke-opacity:.4}
.dots{fill:none;stroke:currentColor;stroke-width:3;stroke-opacity:.35;stroke-linecap:round}
.band{fill:currentColor;fill-opacity:.15}
.layer{fill:currentColor;fill-opacity:.55}
.cell{fill:currentColor}
.grid{stroke:#88909c;stroke-opacity:.22;fill:none}
.axis{stroke:#88909c;stroke-opacity:.7;fill:none}
.tick,.none{fill:#667080;font:11px system-ui,sans-serif;font-variant-numeric:tabular-nums}
.label{fill:#1a1f27;font:13px system-ui,sans-serif}
.heading{fill:#1a1f27;font:600 15px system-ui,sans-serif}
.paper{fill:#fff}
@media screen and (prefers-color-scheme:dark){
${colors(DARK)}
.tick,.none{fill:#98a2b0}
.label,.heading{fill:#e6e9ee}
.paper{fill:#14181e}
}`;

export const PAGE_STYLE = `
:root{color-scheme:light;--page:#f5f6f8;--card:#fff;--text:#1a1f27;--quiet:#5d6775;--edge:#e1e4e9}
@media screen and (prefers-color-scheme:dark){
:root{color-scheme:dark;--page:#0e1116;--card:#171b22;--text:#e6e9ee;--quiet:#98a2b0;--edge:#2a303a}
}
*{box-sizing:border-box}
body{margin:0;background:var(--page);color:var(--text);font:15px/1.45 system-ui,-apple-system,"Segoe UI",sans-serif}
main{max-width:1272px;margin:0 auto;padding:24px 16px 40px}
h1{margin:0;font-size:26px;line-height:1.2}
h2{margin:28px 0 10px;font-size:16px}
p{margin:4px 0;color:var(--quiet)}
code{font:12px ui-monospace,SFMono-Regular,Consolas,monospace;overflow-wrap:anywhere}
.tiles{display:grid;grid-template-columns:repeat(6,minmax(0,1fr));gap:12px;margin:18px 0 16px;padding:0}
.tiles div{background:var(--card);border:1px solid var(--edge);border-radius:10px;padding:10px 14px}
.tiles dt{color:var(--quiet);font-size:12px}
.tiles dd{margin:0;font-size:21px;font-weight:600;font-variant-numeric:tabular-nums;white-space:nowrap}
.tiles small{font-size:12px;font-weight:400;color:var(--quiet);white-space:normal;display:block}
.charts{display:grid;grid-template-columns:repeat(3,minmax(0,1fr));gap:14px;grid-auto-flow:dense}
figure{margin:0;background:var(--card);border:1px solid var(--edge);border-radius:10px;padding:12px 12px 6px;min-width:0;break-inside:avoid}
figure.wide{grid-column:span 2}
figure svg{display:block;width:100%;height:auto;touch-action:pan-y}
figure .narrow{display:none}
figcaption{display:flex;justify-content:space-between;gap:8px;font-weight:600;font-size:14px}
figcaption output{font-weight:400;font-size:12px;color:var(--quiet);font-variant-numeric:tabular-nums;white-space:nowrap}
.key{display:flex;flex-wrap:wrap;gap:0 14px;min-height:21px;margin:2px 0 6px;padding:0;list-style:none;font-size:12px;color:var(--quiet)}
.key i{display:inline-block;width:14px;height:0;border-top:3px solid;border-radius:2px;vertical-align:middle;margin-right:6px}
.key i.dashed{border-top-style:dashed}
.key b{color:var(--text);font-weight:600;font-variant-numeric:tabular-nums}
.at{stroke:var(--quiet);stroke-opacity:.6}
.mark{fill:currentColor;stroke:var(--card);stroke-width:1.5}
.config{columns:3 340px;column-gap:28px;background:var(--card);border:1px solid var(--edge);border-radius:10px;padding:10px 16px}
.config div{display:flex;justify-content:space-between;gap:12px;padding:2px 0;break-inside:avoid;font-size:13px}
.config dt{color:var(--quiet)}
.config dd{margin:0;text-align:right;overflow-wrap:anywhere;font-variant-numeric:tabular-nums}
.clip{display:block;width:480px;max-width:100%;margin-top:10px;border:1px solid var(--edge);border-radius:10px}
.scroll{max-width:960px;overflow-x:auto;background:var(--card);border:1px solid var(--edge);border-radius:10px}
table{border-collapse:collapse;width:100%;font-size:14px;font-variant-numeric:tabular-nums}
th,td{padding:7px 14px;text-align:right;border-top:1px solid var(--edge);white-space:nowrap}
tr:first-child th{border-top:0;color:var(--quiet);font-weight:500;font-size:12px}
th:first-child{text-align:left}
@media (max-width:1000px){.charts{grid-template-columns:repeat(2,minmax(0,1fr))}.tiles{grid-template-columns:repeat(3,minmax(0,1fr))}}
@media (max-width:700px){
main{padding:16px 10px 32px}
.charts{grid-template-columns:minmax(0,1fr)}
figure.wide{grid-column:auto}
figure.wide .roomy{display:none}
figure.wide .narrow{display:block}
.tiles{grid-template-columns:repeat(2,minmax(0,1fr));gap:8px}
}
.charts.solo{grid-template-columns:minmax(0,1fr);max-width:960px;margin-top:16px}
.solo figure.wide{grid-column:auto}
.charts.pair{grid-template-columns:repeat(auto-fit,minmax(min(100%,330px),1fr));max-width:960px;margin-top:14px}
@media print{
@page{margin:12mm}
body{background:none;font-size:12px;print-color-adjust:exact;-webkit-print-color-adjust:exact}
main{padding:0;max-width:none}
.charts{grid-template-columns:repeat(2,minmax(0,1fr))}
figure.wide{grid-column:span 2}
figure.wide .roomy{display:block}
figure.wide .narrow{display:none}
}`;
