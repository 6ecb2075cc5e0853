// Recordings, bridges and collectors as real processes and real files, for the tests of what becomes of every row.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { isDataset, readDatasetFile, readIndex, readRows, type Source } from '../../contract/dataset.js';
import { FLAG, MODES, ROW, rowLayout } from '../../contract/loop.js';
import { RECORDING_VERSION, type Recording } from '../../contract/recording.js';
import { interfaceSchema } from '../../contract/terms.js';
import { RowCodec } from '../../contract/tickMessage.js';
import { RecordingSegment } from '../../controller/recordingSegment.js';
import { FARSIGHT } from '../fixtures/command.js';
import { freePort } from '../fixtures/freePort.js';

export const task = interfaceSchema.parse({
  task: 'pendulum',
  controlRate: 500,
  observation: [
    { kind: 'jointPosition', joint: 'hinge' },
    { kind: 'jointVelocity', joint: 'hinge' },
  ],
  action: [{ kind: 'effort', joint: 'hinge', limits: [-3, 3] }],
  safety: {},
});
const layout = rowLayout(2, 1);

/** Ticks `from` up to, but without, `to` of a loop at 500 Hz, each a step of the policy. */
export function ticks(from: number, to: number, change: (row: Float64Array) => void = () => {}) {
  return Array.from({ length: to - from }, (_, i) => {
    const row = new Float64Array(layout.length);
    row[ROW.tick] = from + i;
    row[ROW.scheduled] = 1000 + (from + i) / 500;
    row[ROW.sensorStamp] = row[ROW.scheduled];
    row[ROW.mode] = MODES.indexOf('policy');
    row[ROW.flags] = FLAG.policyStep;
    row.set([from + i, Math.fround(Math.sin(from + i)), 0.5, Math.cos(from + i)], layout.observation);
    change(row);
    return row;
  });
}

/** Writes a recording's file as the recorder does; `open` leaves it as a killed recorder would. */
export async function writeSegment(
  path: string,
  rows: readonly Float64Array[],
  about: Partial<Recording> & { recording: string; segment: number },
  open = false,
): Promise<void> {
  const { observation, action } = about.interface ?? task;
  const codec = new RowCodec(observation.length, action.length);
  const segment = await RecordingSegment.create(path, {
    version: RECORDING_VERSION,
    robot: 'arm-1',
    policy: 'a'.repeat(64),
    loopRate: 500,
    interface: task,
    ...about,
  });
  for (let i = 0; i < rows.length; i += 500) {
    const messages = rows.slice(i, i + 500).map((row) => ({
      tick: row[ROW.tick],
      logTime: BigInt(Math.round(row[ROW.scheduled] * 1e9)),
      data: codec.encode(row),
    }));
    await segment.append(messages);
  }
  if (open) segment.close();
  else await segment.finish({ rows: rows.length, lost: 0 });
}

const started = new Set<ChildProcess>();
export function killAll(): void {
  for (const child of started) child.kill('SIGKILL');
}

/** Runs a farsight command; its log goes nowhere. */
export function run(...args: string[]) {
  const child = spawn(process.execPath, [FARSIGHT, ...args], {
    stdio: ['ignore', 'pipe', process.env.FARSIGHT_LOG ? 'inherit' : 'ignore'],
    env: process.env,
  });
  started.add(child);
  const exited = once(child, 'exit').then(([code]) => {
    started.delete(child);
    return code as number | null;
  });
  let output = '';
  child.stdout.on('data', (piece) => {
    output += piece;
  });
  return {
    child,
    exited,
    /** Its last line, as JSON. */
    async result() {
      const code = await exited;
      return { code, ...(output === '' ? {} : JSON.parse(output.trim().split('\n').at(-1)!)) };
    },
    async kill(signal: NodeJS.Signals = 'SIGKILL') {
      child.kill(signal);
      await exited;
    },
  };
}

export class CollectorProcess {
  readonly url: string;
  readonly #port: number;
  readonly #flags: string[];
  #running: ReturnType<typeof run> | undefined;

  private constructor(port: number, flags: string[]) {
    this.#port = port;
    this.url = `http://127.0.0.1:${port}`;
    this.#flags = flags;
  }

  static async start(out: string, ...flags: string[]): Promise<CollectorProcess> {
    const collector = new CollectorProcess(await freePort(), ['--out', out, '--reserve', '1', ...flags]);
    await collector.start();
    return collector;
  }

  get pid(): number {
    return this.#running!.child.pid!;
  }

  async start(): Promise<void> {
    this.#running = run('collect', '--listen', String(this.#port), '--json', ...this.#flags);
    while (!(await this.answers())) {
      if (this.#running.child.exitCode !== null) throw new Error('the collector did not start');
      await pause(20);
    }
  }

  async answers(): Promise<boolean> {
    return fetch(`${this.url}/healthz`).then(
      ({ ok }) => ok,
      () => false,
    );
  }

  async kill(): Promise<void> {
    await this.#running?.kill();
  }

  async stop() {
    this.#running!.child.kill('SIGTERM');
    return this.#running!.result();
  }
}

/** Every row of every dataset of a collector, by robot, boot and tick; throws when one is there twice. */
export async function rowsOf(out: string) {
  const rows = new Map<string, Float64Array>();
  const sources: Source[] = [];
  for (const name of readdirSync(out)) {
    const directory = join(out, name);
    if (!isDataset(directory)) continue;
    const about = readDatasetFile(directory);
    for (const source of readIndex(directory).sources) {
      sources.push(source);
      if (!source.part) continue;
      for (const row of await readRows(join(directory, source.part.path), about)) {
        const key = `${source.robot} ${source.boot} ${row[ROW.tick]}`;
        if (rows.has(key)) throw new Error(`${key} is there twice`);
        rows.set(key, row);
      }
    }
  }
  return { rows, sources };
}

export const datasetIn = (out: string) =>
  join(out, readdirSync(out).find((name) => existsSync(join(out, name, 'dataset.json')))!);

export const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

/** The header of an upload that says what it is. */
export const metadataOf = (fields: Record<string, string>) =>
  Object.entries(fields)
    .map(([name, value]) => `${name} ${Buffer.from(value).toString('base64')}`)
    .join(',');
