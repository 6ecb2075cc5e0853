// A thread that doctor starts: takes real-time priority as the control loop does, sleeps to 1,000 deadlines a
// millisecond apart, and reports how late it woke. Its priority ends with it.
import { parentPort } from 'node:worker_threads';
import koffi from 'koffi';
import { LatencyHistogram, type Percentiles } from '../../contract/histogram.js';
import { LOOP_PRIORITY, takeRealtimeThread } from '../../controller/realtime.js';

const CLOCK_MONOTONIC = 1;
const PERIOD = 1e6;
const WARM_UP = 50;
const TICKS = 1000;

export interface WakeReport {
  fifo: boolean;
  /** The priority asked for. */
  priority: number;
  /** Of CLOCK_MONOTONIC, ns. */
  resolution: number;
  lateness: Percentiles;
}

const times = new Float64Array(2);
const { clock, fifo } = takeRealtimeThread([times]);
const histogram = new LatencyHistogram();
clock.stamp(times, 0);
for (let tick = 0; tick < WARM_UP + TICKS; tick++) {
  times[0] += PERIOD;
  clock.sleepUntil(times, 0);
  clock.stamp(times, 1);
  if (tick >= WARM_UP) histogram.record(times[1] - times[0]);
  if (times[1] > times[0] + PERIOD) times[0] = times[1];
}
const timespec = new BigInt64Array(2);
koffi.load(null).func('int clock_getres(int, void *)')(CLOCK_MONOTONIC, timespec);
const report: WakeReport = {
  fifo,
  priority: LOOP_PRIORITY,
  resolution: Number(timespec[1]),
  lateness: histogram.percentiles(),
};
parentPort!.postMessage(report);
