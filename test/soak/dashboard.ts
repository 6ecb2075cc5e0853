// How smooth the dashboard is with 20 robots and an hour of history of each: `node build/test/soak/dashboard.js [SECONDS]`.
// Prints, as JSON, the times between frames of a blank page and of the dashboard: left alone, moved about in time, from robot
// to robot, and without the robot drawn; the page's own work; and
// how many processors all of Chromium took. Robots speak over a real Mosquitto; Chromium draws without a graphics processor.
import { readdirSync, readFileSync } from 'node:fs';
import { setTimeout } from 'node:timers/promises';
import mqtt from 'mqtt';
import { Dashboard } from '../../bridge/dashboard.js';
import { type RobotState, summaryOf, watchRobots } from '../../bridge/watcher.js';
import { LatencyHistogram } from '../../contract/histogram.js';
import { FAULTS, INTERVENTIONS, MODES, perPhase } from '../../contract/loop.js';
import { type Pose, type Telemetry, topicOf } from '../../contract/telemetry.js';
import { pageFiles } from '../../launch/dashboard/pageFiles.js';
import { robotModels } from '../../launch/dashboard/robotModels.js';
import { Chromium, findChromium } from '../../launch/play/chromium.js';
import cheetah from '../../trainer/sim/tasks/half-cheetah.js';
import { Mosquitto } from '../bridge/mosquitto.js';
import { freePort } from '../fixtures/freePort.js';
import { generator } from '../fixtures/generator.js';

const ROBOTS = 20;
const HOUR = 3600;
const seconds = Number(process.argv[2] ?? 30);
const random = generator(1);
const names = Array.from({ length: ROBOTS }, (_, i) => `robot-${String(i + 1).padStart(2, '0')}`);
const policy = { sha256: 'c'.repeat(64), task: cheetah.name };

/** A second of a loop at 500 Hz: most ticks short, few long, as on a machine with other work. */
function window(): Telemetry['window'] {
  const phases = perPhase((phase) => {
    const histogram = new LatencyHistogram();
    const scale = { wake: 20, observe: 2, infer: 40, limit: 0.5, write: 0.3, total: 60 }[phase];
    for (let i = 0; i < 500; i++) histogram.record(1000 * scale * (0.8 + 0.3 / (0.003 + random())));
    return histogram.sample();
  });
  return { seconds: 1, ticks: 500, missed: random() < 0.02 ? 1 : 0, phases };
}

/** Some seconds that come again and again: making each anew would take longer than the measurement. */
const windows = Array.from({ length: 40 }, window);
const samples = windows.map(
  (one, sequence): Telemetry => ({
    ...{ version: 1, robot: names[0], boot: 'soak', time: new Date().toISOString(), sequence, policy },
    ...{
      rateHz: 500,
      scheduling: 'fifo',
      mode: MODES[3],
      fault: FAULTS[0],
      ticks: 0,
      missed: 0,
      longestMiss: 1,
    },
    garbageCollections: 0,
    interventions: Object.fromEntries(INTERVENTIONS.map((name) => [name, 0])) as Telemetry['interventions'],
    phases: windows[0].phases,
    window: one,
    dropped: { telemetry: 0, events: 0 },
  }),
);
const summaries = samples.map(summaryOf);

function telemetryOf(robot: string, second: number, time: number): Telemetry {
  const sample = samples[Math.floor(random() * samples.length)];
  const interventions = { ...sample.interventions, [INTERVENTIONS[1]]: Math.floor(second / 40) };
  return {
    ...sample,
    robot,
    sequence: second,
    ticks: 500 * second,
    interventions,
    time: new Date(time).toISOString(),
  };
}

const joints = cheetah.observation.filter(({ kind }) => kind === 'jointPosition').map(({ joint }) => joint);
function poseOf(robot: string, time: number): Pose {
  const position = joints.map((_, i) => 0.3 * Math.sin(time / 150 + i));
  return { version: 1, robot, boot: 'soak', time: new Date(time).toISOString(), joints, position };
}

const dashboard = new Dashboard({
  address: { host: '127.0.0.1', port: 0 },
  files: new Map([
    ...pageFiles(),
    [
      '/blank',
      { body: Buffer.from('<!doctype html><title>blank</title>'), type: 'text/html; charset=utf-8' },
    ],
  ]),
  model: await robotModels([]),
  runs: () => [],
});
const began = Date.now() - 1000 * HOUR;
for (const robot of names) {
  const state: RobotState = { robot, connection: 'online', heard: 0, events: [], undelivered: 0 };
  for (let second = 0; second < HOUR; second++) {
    const message = telemetryOf(robot, second, began + 1000 * second);
    state.telemetry = { ...message, ...percentiles(message) };
    dashboard.take({ kind: 'telemetry', message }, state, began + 1000 * second);
  }
}
function percentiles({ window }: Telemetry) {
  const { phases, window: summary } = summaries[windows.indexOf(window)];
  return { phases, window: summary };
}

const broker = new Mosquitto(await freePort());
await broker.start();
const watcher = await watchRobots({
  broker: { url: broker.url },
  poses: true,
  onMessage: (received, state) => dashboard.take(received, state),
});
const served = await dashboard.start(watcher);
const robots = await mqtt.connectAsync(broker.url);
let second = HOUR;
const talking = [
  setInterval(() => {
    second++;
    for (const robot of names) say(robot, 'telemetry', telemetryOf(robot, second, Date.now()));
  }, 1000),
  setInterval(() => {
    for (const robot of names) say(robot, 'pose', poseOf(robot, Date.now()));
  }, 40),
];
function say(robot: string, kind: 'telemetry' | 'pose', message: Telemetry | Pose): void {
  robots.publish(topicOf(robot, kind), JSON.stringify(message));
}

const name = findChromium();
if (!name) throw new Error('Chromium is not installed');
const browser = new Chromium(name);
const result: Record<string, unknown> = {};
await browser.open('about:blank');
await browser.send('Emulation.setDeviceMetricsOverride', {
  ...{ width: 1440, height: 1000, deviceScaleFactor: 1, mobile: false },
});

/** Frames of a page that does nothing: what this machine gives at all. */
async function blank(): Promise<unknown> {
  await browser.open(`${served.url}/blank`);
  return browser.evaluate(`new Promise((resolve) => {
    const times = []; let last = performance.now(); const end = last + ${1000 * Math.min(10, seconds)};
    const frame = (now) => { times.push(now - last); last = now; if (now < end) return requestAnimationFrame(frame);
      times.sort((a, b) => a - b); const at = (share) => times[Math.floor(share * (times.length - 1))];
      resolve({ frames: times.length, p50: at(0.5), p99: at(0.99), longest: at(1) }); };
    requestAnimationFrame(frame); })`);
}

/** Of Chromium's processes and the broker's, ms: the kernel counts in hundredths of a second. */
function processorTime(pid: number | 'self' = 'self'): number {
  const children = readdirSync(`/proc/${pid}/task`).flatMap((task) =>
    readFileSync(`/proc/${pid}/task/${task}/children`, 'utf8').split(' ').filter(Boolean).map(Number),
  );
  return children.reduce((sum, child) => {
    const fields = readFileSync(`/proc/${child}/stat`, 'utf8').split(') ')[1].split(' ');
    return sum + 10 * (Number(fields[11]) + Number(fields[12])) + processorTime(child);
  }, 0);
}

async function measured(doing: (step: number) => Promise<unknown>): Promise<unknown> {
  await browser.evaluate('farsight.restartFrameTimes()');
  const [start, spent] = [performance.now(), processorTime()];
  for (const end = performance.now() + 1000 * seconds, step = { at: 0 }; performance.now() < end; step.at++) {
    await doing(step.at);
    await setTimeout(500);
  }
  const processors = (processorTime() - spent) / (performance.now() - start);
  return { ...(await browser.evaluate<object>('farsight.frameTimes()')), processors };
}

result.blankBefore = await blank();
await browser.open(`${served.url}/#robot-01`);
for (let i = 0; i < 200; i++) {
  if (
    await browser.evaluate<boolean>(
      `farsight.shown.history.length >= ${HOUR} && farsight.pose.view !== undefined`,
    )
  )
    break;
  await setTimeout(100);
}
await browser.evaluate('farsight.view.live(3600)');
await setTimeout(3000);
result.rows = await browser.evaluate('farsight.shown.history.length');
result.leftAlone = await measured(async () => {});
const moves = [
  'farsight.view.pan(-0.2)',
  'farsight.view.zoom(0.5)',
  'farsight.view.zoom(2)',
  'farsight.view.live(3600)',
];
result.movedInTime = await measured((step) => browser.evaluate(moves[step % moves.length]));
result.robotToRobot = await measured((step) =>
  step % 4 === 0
    ? browser.evaluate(`document.querySelectorAll('#fleet button')[${(step / 4) % ROBOTS}].click()`)
    : Promise.resolve(),
);
await browser.evaluate("farsight.pose.show('', undefined)");
result.movedWithoutRobot = await measured((step) => browser.evaluate(moves[step % moves.length]));
result.heapMegabytes = await browser.evaluate('Math.round(performance.memory.usedJSHeapSize / 1e6)');
result.blankAfter = await blank();
result.serverMegabytes = Math.round(process.memoryUsage.rss() / 1e6);
console.log(
  JSON.stringify(result, (_, value) => (typeof value === 'number' ? Number(value.toFixed(1)) : value), 2),
);

await browser.close();
for (const timer of talking) clearInterval(timer);
served.stop();
await robots.endAsync();
await watcher.stop();
await broker.dispose();
