// The page of `farsight play`: alone in a real Chromium it has the episode of `farsight eval`, and does what its keys say.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { writeSyntheticPolicy } from '../../launch/bench/syntheticPolicy.js';
import { evaluateFile } from '../../launch/commands/eval.js';
import { makePage } from '../../launch/play/pageFile.js';
import { recordClip } from '../../launch/play/record.js';
import { serve } from '../../launch/play/serve.js';
import { writeReport } from '../../trainer/report/report.js';
import { loadTask, taskInterface } from '../../trainer/sim/task.js';
import { FARSIGHT } from '../fixtures/command.js';
import { temporaryDirectory } from '../fixtures/policy.js';
import { Browser, chromium } from '../report/chromium.js';
import { sampleLines, writeRun } from '../report/sampleRun.js';

const directory = temporaryDirectory();
const hopper = fileURLToPath(new URL('../../../docs/hopper.onnx', import.meta.url));

/** A robot of one joint whose MJCF is a file beside the task's. */
function ownTask(name: string, head: string): string {
  const folder = join(directory, name);
  mkdirSync(folder);
  writeFileSync(
    join(folder, 'arm.xml'),
    '<mujoco><worldbody><body><joint name="shoulder" axis="0 1 0"/><geom type="box" size=".1 .1 .5"/></body></worldbody><actuator><motor joint="shoulder" ctrlrange="-1 1"/></actuator></mujoco>',
  );
  const path = join(folder, 'arm.mjs');
  writeFileSync(
    path,
    `${head}
    const noise = { distribution: 'uniform', scale: 0.1 };
    export default defineTask({ name: 'arm', mjcf: 'arm.xml', frameSkip: 5, maxEpisodeSteps: 50,
      observation: [{ kind: 'jointPosition', joint: 'shoulder' }, { kind: 'jointVelocity', joint: 'shoulder' }],
      action: [{ kind: 'effort', joint: 'shoulder', limits: [-1, 1] }],
      reset: { position: noise, velocity: noise }, reward: ({ next }) => Math.cos(next.position('shoulder')),
      terminated: () => false });`,
  );
  return path;
}

test("a task of one's own goes into the page whole, and not where its file needs Node", async () => {
  const policy = join(directory, 'arm.onnx');
  const task = ownTask('whole', 'const defineTask = (task) => task;');
  writeSyntheticPolicy(policy, taskInterface(await loadTask(task)), [4]);
  const page = await makePage({ policy, task, seed: 1 });
  assert.ok(page.includes('Math.cos(') && page.includes('shoulder'));
  assert.ok(!page.includes(directory), 'a page does not say where it was made');
  for (const licence of [
    /\nthree [\d.]+, MIT\n[^,]*\nCopyright © .* three\.js authors/,
    /\nzod [\d.]+, MIT\n[^,]*\nCopyright \(c\) .* Colin McDonnell/,
    /\n@mujoco\/mujoco [\d.]+, Apache-2\.0\n\s*Apache License\s/,
  ])
    assert.match(page, licence);
  const reads = ownTask(
    'reads',
    "import { readFileSync } from 'node:fs'; const defineTask = (task) => task; readFileSync;",
  );
  await assert.rejects(
    makePage({ policy, task: reads, seed: 1 }),
    /^FarsightError: task '.*arm\.mjs' cannot be put into a page: .*it imports 'node:fs', which no browser has/,
  );
});

test("a policy of one's own task finds it by the config.json of its run, and else says how to give it", async () => {
  const task = ownTask('found', 'const defineTask = (task) => task;');
  const run = join(directory, 'own-run');
  mkdirSync(run);
  const policy = join(run, 'policy.onnx');
  writeSyntheticPolicy(policy, taskInterface(await loadTask(task)), [4]);
  await assert.rejects(
    makePage({ policy, seed: 1 }),
    /is for task 'arm', which is not built in: give .* --task/,
  );
  writeFileSync(join(run, 'config.json'), JSON.stringify({ task }));
  assert.ok((await makePage({ policy, seed: 1 })).includes('shoulder'));
  assert.equal((await evaluateFile(policy, undefined, 1, 1)).task, 'arm');
  writeFileSync(join(run, 'config.json'), JSON.stringify({ task: `${task}.gone` }));
  await assert.rejects(evaluateFile(policy, undefined, 1, 1), /whose file '.*gone' is not there .* --task/);
});

test('the page is served on loopback, and nothing else is', async () => {
  const { url, close } = await serve('<p>page', 0);
  assert.match(url, /^http:\/\/127\.0\.0\.1:/);
  assert.equal(await (await fetch(url)).text(), '<p>page');
  assert.equal((await fetch(`${url}etc/passwd`)).status, 404);
  close();
});

test('wrong usage and a missing Chromium are one line each', () => {
  const play = (...args: string[]) => {
    const { status, stderr } = spawnSync(process.execPath, [FARSIGHT, 'play', hopper, ...args], {
      encoding: 'utf8',
      env: { ...process.env, PATH: directory },
    });
    return { status, first: stderr.split('\n')[0] };
  };
  const clip = join(directory, 'none.webm');
  const cases: [args: string[], status: number, line: RegExp][] = [
    [['--size', '641x360', '--record', clip], 2, /wants WIDTHxHEIGHT, both even/],
    [['--size', '20000x20000', '--record', clip], 2, /wants WIDTHxHEIGHT, both even, from 64 to 4096/],
    [['--out', 'page.gif'], 2, /^error: --out 'page\.gif': wants a name that ends in \.html/],
    [['--record', 'clip.avi'], 2, /^error: --record 'clip\.avi': wants a name that ends in/],
    [['--record', clip], 1, /^error: a clip is drawn by Chromium, which is not installed: install/],
  ];
  for (const [args, status, line] of cases) {
    const result = play(...args);
    assert.equal(result.status, status);
    assert.match(result.first, line);
  }
});

describe('in Chromium', { skip: chromium ? false : 'chromium is not installed', timeout: 120_000 }, () => {
  let browser: Browser;
  before(() => {
    browser = new Browser();
  });
  after(() => browser.close());

  const press = (key: string) => browser.press(key);
  const session = <T>(what: string) => browser.evaluate<T>(`farsight.session.${what}`);
  const enter = (id: string, text: string) =>
    browser.evaluate(
      `(() => { const field = document.getElementById('${id}'); field.value = '${text}'; field.dispatchEvent(new Event('change')); })()`,
    );
  const isMarked = (id: string) => browser.evaluate(`document.getElementById('${id}').matches(':invalid')`);
  /** Where the robot stands after so long, m. */
  const placeAfter = (seconds: number) =>
    browser.evaluate<number>(
      `(farsight.simulate(${seconds}), farsight.session.body.physics.parts.data.qpos[0])`,
    );

  test('a page alone has the episode of farsight eval', async () => {
    const path = join(directory, 'hopper.html');
    writeFileSync(path, await makePage({ policy: hopper, seed: 100 }));
    await browser.open(pathToFileURL(path).href);
    await browser.until("'farsight' in window");
    await press(' ');
    assert.equal(await browser.evaluate('farsight.running'), false);
    assert.equal(await browser.evaluate("document.getElementById('pause').textContent"), 'Play');
    const returned = await browser.evaluate<number>(
      '(() => { const { session } = farsight; session.restart(100); while (session.returns.length === 0) session.step(); return session.returns[0]; })()',
    );
    const { mean } = await evaluateFile(hopper, undefined, 1, 100);
    assert.ok(Math.abs(returned - mean) < 1e-4 * mean, `${returned} in the page, ${mean} by eval`);
    assert.ok(mean > 3000);
  });

  test('step, another seed, faults, limits and rearming do what they say', async () => {
    await press('n');
    assert.equal(await session('seed'), 101);
    assert.deepEqual(await session('returns'), []);
    for (const steps of [1, 2, 3]) {
      await press('ArrowRight');
      assert.equal(await session('steps'), steps);
    }
    assert.equal(
      await browser.evaluate("document.getElementById('count').textContent.slice(0, 14)"),
      'step 3 of 1000',
    );
    await press('l');
    assert.equal(await session('limits'), 'robot');
    await enter('faults', 'nan=leg_joint mass=1.1');
    assert.equal(await session('faults'), 'nan=leg_joint mass=1.1');
    const rearm = "document.getElementById('rearm')";
    for (let i = 0; i < 3; i++) await press('ArrowRight');
    assert.equal(await session('stopped'), 'observation not finite');
    assert.equal(await browser.evaluate(`${rearm}.hidden`), false);
    await browser.evaluate('farsight.session.setFaults([])');
    await browser.evaluate(`${rearm}.click()`);
    await press('ArrowRight');
    assert.equal(await session('stopped ?? "acts"'), 'acts');
    await press('r');
    assert.equal(await session('seed'), 101);
    assert.equal(await session('steps'), 0);
  });

  test('what cannot be is marked, and changes nothing', async () => {
    await press('ArrowRight');
    for (const text of ['-5', '99999999999', '1.5', '']) {
      await enter('seed', text);
      assert.equal(await isMarked('seed'), true, text);
      assert.deepEqual([await session('seed'), await session('steps')], [101, 1], text);
    }
    await enter('seed', '1e3');
    assert.deepEqual([await isMarked('seed'), await session('seed')], [false, 1000]);

    await enter('fault', 'mass=1.3');
    await enter('faults', 'mass=heavy');
    assert.deepEqual([await isMarked('faults'), await session('faults')], [true, 'mass=1.3']);
    await enter('faults', '');
    assert.deepEqual([await isMarked('faults'), await session('faults')], [false, 'none']);
    assert.equal(await browser.evaluate("document.getElementById('fault').value"), '');
  });

  test('a push and a fault that is chosen change where the robot goes', async () => {
    await press('r');
    const healthy = await placeAfter(0.2);
    await press('r');
    assert.equal(await placeAfter(0.2), healthy);
    await press('r');
    await press('p');
    const [from, to] = await browser.evaluate<[number, number]>(
      '[farsight.session.body.physics.parts.data.xipos[3], farsight.session.push.target[0]]',
    );
    const pushed = (await placeAfter(0.2)) - healthy;
    assert.ok(Math.sign(to - from) * pushed > 0.01, `${pushed} m, pushed from ${from} to ${to}`);
    await placeAfter(0.1);
    assert.equal(await session('push ?? "gone"'), 'gone');

    await enter('fault', 'gain=0.7');
    assert.equal(await browser.evaluate("document.getElementById('faults').value"), 'gain=0.7');
    assert.equal(await session('faults'), 'gain=0.7');
    await press('r');
    assert.ok(Math.abs((await placeAfter(0.2)) - healthy) > 0.001);
    await enter('fault', '');
  });

  test('the robot and what it does are drawn: pixels in colours that floor, sky and letters do not have', async () => {
    await press('r');
    await placeAfter(1);
    const coloured = (canvas: string) =>
      browser.evaluate<number>(
        `(() => { const from = document.querySelector('${canvas}'); farsight.show();
        const { width, height } = from; const to = new OffscreenCanvas(width, height).getContext('2d'); to.drawImage(from, 0, 0);
        const { data } = to.getImageData(0, 0, width, height); let count = 0;
        for (let i = 0; i < data.length; i += 4) { const [r, g, b, alpha] = data.subarray(i, i + 4);
          if (alpha > 128 && Math.max(r, g, b) - Math.min(r, g, b) > 60) count++; } return count; })()`,
      );
    const counts = [];
    for (const canvas of ['#stage canvas', '#rewardPlot', '#actionPlot', '#observationPlot'])
      counts.push(await coloured(canvas));
    assert.ok(
      counts.every((count) => count > 50),
      counts.join(' '),
    );
  });

  test('time goes as fast as the speed says', async () => {
    // The display's clock is in the test's hands: eight frames, a tenth of a second each.
    const simulated = () =>
      browser.evaluate<number>(
        `(async () => { const real = window.requestAnimationFrame; let frame;
        const came = new Promise((resolve) => { window.requestAnimationFrame = (next) => { frame = next; resolve(); }; });
        await came; let now = performance.now(); frame(now); const before = farsight.session.time;
        for (let i = 0; i < 8; i++) frame((now += 100));
        const passed = farsight.session.time - before;
        await new Promise((resolve) => setTimeout(resolve, now - performance.now()));
        window.requestAnimationFrame = real; real(frame); return passed; })()`,
      );
    await press(' ');
    const usual = await simulated();
    for (let i = 0; i < 2; i++) await press('ArrowDown');
    const quarter = await simulated();
    await press(' ');
    // A computer that is busy with something else may skip a frame's physics, which has 40 ms.
    assert.ok(usual > 0.5 && usual < 0.9, `${usual} s in 0.8 s`);
    assert.ok(quarter > 0.12 && quarter < 0.23, `${quarter} s in 0.8 s at a quarter of the speed`);
  });

  test('the mouse pulls the robot by where it took hold of it', async () => {
    const whereItIs = () =>
      browser.evaluate<[number, number]>(
        `(() => { const frame = document.querySelector('#stage canvas').getBoundingClientRect();
        for (let j = -0.9; j < 0.9; j += 0.05) for (let i = -0.5; i < 0.5; i += 0.02)
          if (farsight.stage.grab(i, j)?.push.body === 1) return [frame.x + (1 + i) / 2 * frame.width, frame.y + (1 - j) / 2 * frame.height]; })()`,
      );
    await press('r');
    await press('h');
    let [x, y] = await whereItIs();
    await browser.mouse('mousePressed', x, y);
    // The page may have been laid out anew meanwhile.
    while (await browser.evaluate('farsight.session.push === undefined')) {
      await browser.mouse('mouseReleased', x, y);
      [x, y] = await whereItIs();
      await browser.mouse('mousePressed', x, y);
    }
    await browser.mouse('mouseMoved', x - 60, y);
    // To the left is backward.
    await browser.until(
      '(() => { const { push, body } = farsight.session; return push.target[0] < body.physics.parts.data.xpos[3]; })()',
    );
    const moved = await browser.evaluate<number>(
      '(() => { const { data } = farsight.session.body.physics.parts; const before = data.qpos[0]; farsight.simulate(0.1); return data.qpos[0] - before; })()',
    );
    assert.ok(moved < -0.002, `${moved} m`);
    await browser.mouse('mouseReleased', x - 60, y);
    await browser.until('farsight.session.push === undefined');
    assert.deepEqual(browser.errors, []);
  });

  test('a clip is a file, and in the report of its run', async () => {
    const run = join(directory, 'run');
    mkdirSync(run);
    writeRun(run, sampleLines({ seed: 3, steps: 1000, halfway: 400, horizonMax: 8 }), {});
    writeFileSync(join(run, 'policy.onnx'), readFileSync(hopper));
    writeReport(run);
    const report = () => readFileSync(join(run, 'report.html'), 'utf8');
    assert.match(report(), /farsight play policy\.onnx --record clip\.webm/);
    const clip = join(run, 'clip.webm');
    const pictures: number[] = [];
    const options = { seconds: 0.4, width: 160, height: 96, rate: 20 };
    await recordClip({ policy: hopper, seed: 1 }, clip, options, (done) => pictures.push(done));
    assert.deepEqual(pictures, [5, 8]);
    assert.equal(readFileSync(clip).readUInt32BE(0), 0x1a45dfa3);
    writeReport(run);
    await browser.open(pathToFileURL(join(run, 'report.html')).href);
    const [seconds, width] = await browser.evaluate<[number, number]>(
      "new Promise((resolve) => { const video = document.querySelector('video'); const done = () => resolve([video.duration, video.videoWidth]); if (video.readyState > 0) done(); else video.onloadedmetadata = done; })",
    );
    assert.ok(Math.abs(seconds - 0.4) < 0.02, `${seconds} s`);
    assert.equal(width, 160);
  });

  test('a page that crashes ends what waits for it', async () => {
    await assert.rejects(browser.send('Page.crash'), /the page crashed/);
  });
});
