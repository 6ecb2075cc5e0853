// A robot of the recordings' soak: a real recorder fed with 500 ticks a second, a fault now and then, until SIGTERM:
// `recordingRobot.js DIRECTORY NAME BOOT`. Its last line says how many ticks there were, and how many it lost.
import { startRecorder } from '../../controller/recorder.js';
import { policy, RATE, tickSource } from '../controller/recordedTicks.js';

const [directory, robot, boot] = process.argv.slice(2);
const FAULT_EVERY = 60;
const { trace, push, fault } = tickSource(8 * RATE);
const segment = { bytes: 64 * 2 ** 20, seconds: 5 };
const recorder = await startRecorder({ directory, policy, rateHz: RATE, trace, robot, boot, segment });
const began = performance.now();
let ticks = 0;
const timer = setInterval(() => {
  const seconds = (performance.now() - began) / 1000;
  fault(seconds % FAULT_EVERY > FAULT_EVERY - 1 ? 'sensor stale' : 'none');
  const due = Math.floor(seconds * RATE) - ticks;
  if (due > 0) ticks = push(due);
}, 5);
process.once('SIGTERM', async () => {
  clearInterval(timer);
  const { rows, lost } = await recorder.stop().catch((error) => {
    process.stderr.write(`${robot}: ${error.message}\n`);
    return { ...recorder.state };
  });
  process.stdout.write(`${JSON.stringify({ robot, boot, ticks, rows, lost })}\n`, () => process.exit(0));
});
