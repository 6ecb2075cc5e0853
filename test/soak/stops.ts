// The emergency stop from every source in every state, many times each, with a watchdog beside it and the controller's
// main thread blocked. Run by hand, ROS 2 sourced: node build/test/soak/stops.js [times] [flood] [source …] [state …]
// `flood`: beside 10,000 messages of garbage a second on the sensors' topic.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { SOURCES, STATES, StopRehearsal } from '../ros/stopRehearsal.js';

const [timesText = '200', ...words] = process.argv.slice(2);
const flood = words.includes('flood');
const chosen = <T extends string>(all: readonly T[]) => {
  const named = all.filter((one) => words.includes(one));
  return named.length > 0 ? named : all;
};
const times = Number(timesText);
const directory = mkdtempSync(join(tmpdir(), 'farsight-stops-'));
const rehearsal = new StopRehearsal(directory);
let failed = false;
try {
  await rehearsal.start();
  if (flood) rehearsal.flood();
  for (const source of chosen(SOURCES)) {
    for (const state of chosen(STATES)) {
      const latencies: number[] = [];
      for (let i = 0; i < times; i++) {
        const latency = await rehearsal.trial(source, state, i % 2 === 0);
        if (latency !== undefined) latencies.push(latency);
      }
      latencies.sort((a, b) => a - b);
      const at = (share: number) =>
        latencies[Math.min(latencies.length - 1, Math.floor(share * latencies.length))];
      const text =
        latencies.length > 0
          ? `  last unsafe command after p50 ${at(0.5).toFixed(1)}, p99 ${at(0.99).toFixed(1)}, at most ${latencies.at(-1)!.toFixed(1)} ms`
          : '';
      console.log(`${source.padEnd(12)}${state.padEnd(14)}${times} stops, none lost${text}`);
    }
  }
} catch (error) {
  failed = true;
  console.error(error);
} finally {
  rehearsal.stop();
  rmSync(directory, { recursive: true, force: true });
}
process.exit(failed ? 1 : 0);
