// Half an hour on ROS 2: the simulated robot and the controller as two commands, their memory, and cyclictest beside.
// Run by hand, ROS 2 sourced: node build/test/soak/soak.js POLICY.onnx [minutes]
import { spawn } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { McapStreamReader } from '@mcap/core';
import { ROW } from '../../contract/loop.js';
import { readPolicyFile } from '../../contract/policyFile.js';
import { RowCodec } from '../../contract/tickMessage.js';
import { LOOP_PRIORITY } from '../../controller/realtime.js';
import { runCyclictest } from '../../launch/bench/cyclictest.js';
import { compareMisses, type Miss, missedByThread, missOf } from '../../launch/bench/missedTicks.js';
import { FARSIGHT } from '../fixtures/command.js';

const RATE = 500;
/** Where the loop is pinned: it is held against the thread of cyclictest on the same processor. */
const CORE = 1;
const INTERVAL = 251;
/** Wake-ups of cyclictest later than this are listed, µs. */
const LATE = 100;
const SAMPLE_MS = 10_000;
/** Parts of the time for which the mean memory is told. */
const PARTS = 6;

const [policyPath, minutesText = '30'] = process.argv.slice(2);
const seconds = 60 * Number(minutesText);
const policy = readPolicyFile(policyPath);
const record = mkdtempSync(join(tmpdir(), 'farsight-soak-'));

function start(...args: string[]) {
  const child = spawn(process.execPath, [FARSIGHT, ...args, '--json'], { stdio: ['ignore', 'pipe', 'pipe'] });
  let stdout = '';
  child.stdout.on('data', (chunk) => {
    stdout += chunk;
  });
  const lines = createInterface({ input: child.stderr });
  const ended = new Promise<number | null>((resolve) => child.once('close', resolve));
  const said = (text: string) =>
    new Promise<void>((resolve) => lines.on('line', (line) => line.includes(text) && resolve()));
  lines.on('line', (line) => process.stderr.write(`${args[0]}: ${line}\n`));
  return { child, ended, said, result: () => JSON.parse(stdout.trim().split('\n').at(-1) as string) };
}

/** Resident memory of a process in MB. */
function memory(pid: number): number {
  const kilobytes = /VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1];
  return Math.round(Number(kilobytes) / 1024);
}

function childrenOf(pid: number): number[] {
  const text = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim();
  return text === '' ? [] : text.split(' ').map(Number);
}

const robot = start('robot', '--task', policy.manifest.task);
await robot.said('commands:');
const control = start(
  ...['control', '--robot', 'ros2', '--policy', policyPath, '--rate', `${RATE}`, '--core', `${CORE}`],
  ...['--duration', `${seconds + 10}`, '--record', record],
);
await control.said('running');
const yardstick = runCyclictest({
  interval: INTERVAL,
  seconds: seconds + 4,
  priority: LOOP_PRIORITY + 1,
  everyProcessorLate: LATE,
});
await new Promise((resolve) => setTimeout(resolve, 2000));
const begin = Number(process.hrtime.bigint()) / 1e9;
const samples: Record<'controller' | 'management' | 'robot', number[]> = {
  controller: [],
  management: [],
  robot: [],
};
const sampler = setInterval(() => {
  try {
    const pid = control.child.pid as number;
    samples.controller.push(memory(pid));
    samples.management.push(memory(childrenOf(pid)[0]));
    samples.robot.push(memory(robot.child.pid as number));
  } catch {
    // A process that has ended has no memory.
  }
}, SAMPLE_MS);
const { late: lateAnywhere, threads, wake } = await yardstick;
const late = lateAnywhere.filter(({ thread }) => thread === CORE);
clearInterval(sampler);
const end = begin + seconds;
const code = await control.ended;
robot.child.kill('SIGINT');
await robot.ended;

const period = 1 / RATE;
const misses: Miss[] = [];
const codec = new RowCodec(policy.manifest.observation.length, policy.manifest.action.length);
/** A recording leaves ticks out: of one before a miss that it does not have, nothing is known. */
const unknown = new Float64Array(ROW.vectors);
let previous = unknown;
for (const name of readdirSync(record).sort()) {
  const reader = new McapStreamReader();
  reader.append(readFileSync(join(record, name)));
  for (let item = reader.nextRecord(); item; item = reader.nextRecord()) {
    if (item.type !== 'Message') continue;
    const row = codec.decode(item.data);
    const consecutive = previous[ROW.tick] + 1 + row[ROW.missed] === row[ROW.tick];
    const miss = missOf(row, consecutive ? previous : unknown, period);
    if (miss && row[ROW.scheduled] > begin && row[ROW.scheduled] < end) misses.push(miss);
    previous = Float64Array.from(row);
  }
}
rmSync(record, { recursive: true });
const result = control.result();
const spare = Math.min(period / 2, result.phases.total.p90 / 1e6 + INTERVAL / 1e6);
const mean = (values: number[]) => Math.round(values.reduce((sum, value) => sum + value, 0) / values.length);
console.log(
  JSON.stringify(
    {
      seconds,
      code,
      control: result,
      robot: robot.result(),
      ...compareMisses(misses, late, period, spare),
      sharedFrom: Math.round((period - spare) * 1e6),
      cyclictest: wake.percentiles(),
      cyclictestMissed: missedByThread(
        late.filter(({ due }) => due >= begin && due <= end),
        threads,
        begin,
        period,
      )[CORE],
      memoryMegabytes: Object.fromEntries(
        Object.entries(samples).map(([name, values]) => [
          name,
          {
            means: Array.from({ length: PARTS }, (_, part) =>
              mean(values.slice((part * values.length) / PARTS, ((part + 1) * values.length) / PARTS)),
            ),
            most: Math.max(...values),
          },
        ]),
      ),
    },
    null,
    2,
  ),
);
