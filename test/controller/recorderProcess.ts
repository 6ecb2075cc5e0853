// Records ticks at their rate until it is killed; says once each 50 ms how many it has pushed.
import { startRecorder } from '../../controller/recorder.js';
import { policy, RATE, tickSource } from './recordedTicks.js';

const { trace, push } = tickSource(4096);
await startRecorder({ directory: process.argv[2], policy, rateHz: RATE, trace });
const start = performance.now();
let pushed = 0;
setInterval(() => {
  pushed = push(Math.floor(((performance.now() - start) / 1000) * RATE) - pushed);
  process.stdout.write(`${pushed}\n`);
}, 50);
