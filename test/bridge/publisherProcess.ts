// Publishes a loop's view whose ticks it makes itself: `publisherProcess.js BROKER ROBOT EVENTS_KEPT`. A line `MODE` on
// stdin puts the loop into that mode, `stop` ends it; the URL is said on stdout.
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
  WORD,
} from '../../contract/loop.js';
import { TraceRing } from '../../contract/sharedMemory.js';

const [url, robot, eventsKept] = process.argv.slice(2);
const words = loopWords(0);
const counts = countsOf(words);
const histograms = perPhase(() => new LatencyHistogram());
words[WORD.mode] = MODES.indexOf('policy');
const telemetry = await startTelemetry({
  broker: { url, ...(process.env.MQTT_CONFIG && { config: process.env.MQTT_CONFIG }) },
  robot,
  view: { rateHz: 500, joints: [], words, histograms, trace: new TraceRing(1, 16) },
  policy: { sha256: 'b'.repeat(64), task: 'pendulum' },
  eventsKept: Number(eventsKept),
});
process.stdout.write(`${telemetry.url}\n`);
const ticking = setInterval(() => {
  for (let i = 0; i < 5; i++) {
    counts[COUNT.ticks]++;
    for (const phase of PHASES) histograms[phase].record(20_000 + (counts[COUNT.ticks] % 1000) * 100);
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
  words[WORD.mode] = MODES.indexOf(line as Mode);
  words[WORD.fault] = line === 'damping' ? FAULTS.indexOf('emergency stop') : 0;
});
