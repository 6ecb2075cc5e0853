// Publishes a loop's view whose ticks it makes itself: `publisherProcess.js BROKER ROBOT EVENTS_KEPT`. A line `MODE` on
// stdin puts the loop into that mode, `miss` misses a tick, a number puts the slider there, `stop` ends it; the URL is said
// on stdout.
import { createInterface } from 'node:readline';
import { startTelemetry } from '../../bridge/publisher.js';
import { LatencyHistogram } from '../../contract/histogram.js';
import {
  COUNT,
  countsOf,
  FAULTS,
  loopWords,
  MODES,
  type Mode,
  PHASES,
  perPhase,
  ROW,
  rowLayout,
  WORD,
} from '../../contract/loop.js';
import { PolicyList } from '../../contract/policyList.js';
import { TraceRing } from '../../contract/sharedMemory.js';
import pendulum from '../../trainer/sim/tasks/inverted-pendulum.js';

const [url, robot, eventsKept] = process.argv.slice(2);
const words = loopWords(0);
const counts = countsOf(words);
const histograms = perPhase(() => new LatencyHistogram());
words[WORD.mode] = MODES.indexOf('policy');
// As the manifest has them, with what a task's file may leave out.
const observation = pendulum.observation.map((term) => ({ scale: 1, offset: 0, ...term }));
const layout = rowLayout(observation.length, 0);
const policies = new PolicyList();
policies.add('b'.repeat(64));
const trace = new TraceRing(layout.length, 64);
let slider = 0;
const telemetry = await startTelemetry({
  broker: { url, ...(process.env.MQTT_CONFIG && { config: process.env.MQTT_CONFIG }) },
  robot,
  view: { rateHz: 500, joints: [], words, histograms, trace, policies },
  task: pendulum.name,
  observation,
  eventsKept: Number(eventsKept),
});
process.stdout.write(`${telemetry.url}\n`);
const ticking = setInterval(() => {
  for (let i = 0; i < 5; i++) {
    counts[COUNT.ticks]++;
    for (const phase of PHASES) histograms[phase].record(20_000 + (counts[COUNT.ticks] % 1000) * 100);
    const row = trace.rows.subarray(trace.offset, trace.offset + layout.length);
    row[ROW.tick] = counts[COUNT.ticks];
    row[ROW.scheduled] = row[ROW.sensorStamp] = counts[COUNT.ticks] / 500;
    row.set([slider, 0.1, 0, 0], layout.observation);
    trace.push();
  }
}, 10);

const lines = createInterface({ input: process.stdin });
lines.on('line', (line) => {
  if (line === 'stop') {
    clearInterval(ticking);
    process.stdin.destroy();
    void telemetry.stop();
    return;
  }
  if (line === 'miss') {
    counts[COUNT.missed]++;
    return;
  }
  if (line !== '' && Number.isFinite(Number(line))) {
    slider = Number(line);
    return;
  }
  words[WORD.mode] = MODES.indexOf(line as Mode);
  words[WORD.fault] = line === 'damping' ? FAULTS.indexOf('emergency stop') : 0;
});
