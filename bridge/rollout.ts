// Brings a policy to a fleet in stages: announces it, watches what the robots say of it, halts at faults, keeps the record.
import { createHash, randomUUID } from 'node:crypto';
import { appendFileSync, existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import {
  DESIRED_FILE,
  type Desired,
  type DesiredFile,
  desiredFileSchema,
  desiredTopic,
} from '../contract/delivery.js';
import { FarsightError, UsageError } from '../contract/errors.js';
import { lockFile } from '../contract/fileLock.js';
import { whyUnusable } from '../contract/schemaErrors.js';
import { type Received, TELEMETRY_VERSION, type Telemetry } from '../contract/telemetry.js';
import { writeWhole } from '../contract/wholeFile.js';
import { type BrokerOptions, connectTo } from './connection.js';
import { type Watcher, watchRobots } from './watcher.js';

export const RECORD_FILE = 'rollouts.jsonl';
/** Beside the repository's files, while a roll-out writes what robots are to run. */
const DESIRED_LOCK = 'desired.lock';
/** Before that is tried again when another has it, ms. */
const AGAIN_MS = 5;
/** Seconds in which robots that are online are heard: what they say of that is retained. */
const MEET = 2;
const LOOK_MS = 100;
/** Ticks of telemetry that a share of interventions needs. */
const LEAST_TICKS = 500;

export interface RolloutOptions {
  /** The repository's. */
  directory: string;
  target: string;
  /** Of the target. */
  task: string;
  sha256: string;
  /** Each the name of a group, or a percentage of all robots, such as `25%`; the stages before are part of it. */
  stages: readonly string[];
  groups: Readonly<Record<string, readonly string[]>>;
  broker: BrokerOptions;
  /** Robots that may fail before the roll-out halts. */
  failures: number;
  /** How much larger the share of ticks with interventions may be than before, of one robot. */
  interventions: number;
  /** Seconds for which a stage may take, and for which it is watched, all of its robots there, after its last one accepted. */
  patience: number;
  soak: number;
  /** Told each line of the record. */
  onRecord(line: RolloutRecord): void;
  signal: AbortSignal;
}

export interface RolloutRecord {
  time: string;
  rollout: string;
  target: string;
  sha256: string;
  stage: string;
  /** Left out where the line is about all. */
  robot?: string;
  what: 'announced' | 'acting' | 'accepted' | 'failed' | 'stage done' | 'halted' | 'stopped' | 'done';
  reason?: string;
}

interface Member {
  state: 'announced' | 'acting' | 'accepted' | 'failed';
  /** When it was announced to. */
  before?: Telemetry;
  since?: Telemetry;
  /** What it was to run before. */
  desired: string | undefined;
}

export interface RolloutResult {
  done: boolean;
  reason?: string;
  accepted: string[];
  failed: string[];
}

/** The robots of a stage, of all that there are: the same ones each time. */
export function stageRobots(
  stage: string,
  target: string,
  robots: readonly string[],
  groups: Readonly<Record<string, readonly string[]>>,
): string[] {
  const [, digits] = /^(\d{1,3})%$/.exec(stage) ?? [];
  if (digits === undefined) {
    if (!Object.hasOwn(groups, stage))
      throw new UsageError(`--stages '${stage}': no such group, and no percentage such as 25%`);
    return [...groups[stage]];
  }
  const share = Number(digits) / 100;
  if (share <= 0 || share > 1) throw new UsageError(`--stages '${stage}': wants 1% to 100%`);
  // By a hash of both, so that it is not the same robots that go first every time.
  const rank = (robot: string) => createHash('sha256').update(`${target} ${robot}`).digest('hex');
  const ranked = [...robots].sort((a, b) => rank(a).localeCompare(rank(b)));
  return ranked.slice(0, Math.ceil(share * ranked.length));
}

export class Rollout {
  readonly #options: RolloutOptions;
  readonly #id = randomUUID();
  readonly #members = new Map<string, Member>();
  #stage = '';
  #publish: (robot: string, target: string | undefined) => Promise<void> = async () => {};

  constructor(options: RolloutOptions) {
    this.#options = options;
  }

  /** Resolves when all stages are done, or when it halted. Throws a `FarsightError` for a broker or a stage that does not do. */
  async run(): Promise<RolloutResult> {
    const { broker, stages, groups, target, task, signal } = this.#options;
    for (const stage of stages) stageRobots(stage, target, [], groups);
    const watcher = await watchRobots({ broker, onMessage: (received) => this.#hear(received) });
    const { client } = connectTo(broker, { protocolVersion: 4 });
    client.on('error', () => {});
    const stopped = new Promise<unknown>((resolve) => signal.addEventListener('abort', resolve));
    this.#publish = async (robot, wanted) => {
      const message: Desired | undefined =
        wanted === undefined ? undefined : { version: TELEMETRY_VERSION, robot, target: wanted };
      const settings = { qos: 1, retain: true } as const;
      const published = client.publishAsync(
        desiredTopic(robot),
        message ? JSON.stringify(message) : '',
        settings,
      );
      // A broker that is away is waited for, but not against a person's will.
      await Promise.race([published, stopped]);
    };
    try {
      await this.#wait(MEET, () => false);
      for (const stage of stages) {
        this.#stage = stage;
        const robots = stageRobots(stage, target, ofTask(watcher, task), groups);
        if (robots.length === 0)
          throw new FarsightError(`stage '${stage}': no robot of task '${task}' is heard`);
        for (const robot of robots) if (!this.#members.has(robot)) await this.#announce(robot, watcher);
        const halted = await this.#finish(robots, watcher);
        if (signal.aborted) {
          this.#record({ what: 'stopped' });
          return this.#result(false, 'stopped; the same command goes on');
        }
        if (halted !== undefined) return await this.#halt(halted);
        this.#record({ what: 'stage done' });
      }
      this.#record({ what: 'done' });
      return this.#result(true);
    } finally {
      await client.endAsync(!client.connected);
      await watcher.stop();
    }
  }

  async #announce(robot: string, watcher: Watcher): Promise<void> {
    const { directory, target, sha256 } = this.#options;
    const { robots } = readDesired(directory);
    const desired = Object.hasOwn(robots, robot) ? robots[robot] : undefined;
    const raw = watcher.robots.get(robot)?.raw;
    const runs = raw?.policy.sha256 === sha256;
    this.#members.set(robot, {
      state: runs ? 'accepted' : 'announced',
      desired,
      ...(raw && { before: raw }),
    });
    await writeDesired(directory, robot, target);
    await this.#publish(robot, target);
    this.#record({ what: 'announced', robot });
  }

  /** Waits for the stage's robots. Returns why the roll-out halts, or nothing when all of them are well. */
  async #finish(robots: readonly string[], watcher: Watcher): Promise<string | undefined> {
    const { patience, soak } = this.#options;
    let halted: string | undefined;
    const all = (state: Member['state']) =>
      robots.every((robot) => [state, 'failed'].includes(this.#members.get(robot)!.state));
    const bad = () => {
      halted = this.#tooMany() ?? this.#intervened(watcher);
      return halted !== undefined;
    };
    await this.#wait(patience, () => bad() || all('accepted'));
    if (halted !== undefined || this.#options.signal.aborted) return halted;
    const silent = robots.filter(
      (robot) => !['accepted', 'failed'].includes(this.#members.get(robot)!.state),
    );
    if (silent.length > 0) return `no end after ${patience} s: ${silent.join(', ')}`;
    let watched = 0;
    let last = performance.now();
    await this.#wait(soak + patience, () => {
      const now = performance.now();
      if (watcher.connected && this.#unheard(robots, watcher).length === 0) watched += (now - last) / 1000;
      last = now;
      return bad() || watched >= soak;
    });
    if (halted !== undefined || this.#options.signal.aborted || watched >= soak) return halted;
    const whom = watcher.connected ? this.#unheard(robots, watcher).join(', ') : 'the broker';
    return `nothing is heard of ${whom}: the stage was watched for ${watched.toFixed(0)} s of ${soak}`;
  }

  /** Robots that are not there to be watched. */
  #unheard(robots: readonly string[], watcher: Watcher): string[] {
    return robots.filter(
      (robot) =>
        this.#members.get(robot)!.state !== 'failed' && watcher.robots.get(robot)?.connection !== 'online',
    );
  }

  #tooMany(): string | undefined {
    const failed = this.#names('failed');
    return failed.length > this.#options.failures
      ? `${failed.length} failed: ${failed.join(', ')}`
      : undefined;
  }

  /** A robot whose commands the limits change more often than before. */
  #intervened(watcher: Watcher): string | undefined {
    for (const [robot, member] of this.#members) {
      const now = watcher.robots.get(robot)?.raw;
      const { before, since } = member;
      if (!before || !since || !now || now.boot !== since.boot || before.boot !== now.boot) continue;
      if (now.ticks - since.ticks < LEAST_TICKS) continue;
      const share = (sum(now) - sum(since)) / (now.ticks - since.ticks);
      const usual = before.ticks > 0 ? sum(before) / before.ticks : 0;
      if (share <= usual + this.#options.interventions) continue;
      return `${robot}: interventions in ${(100 * share).toFixed(0)} % of ticks, before ${(100 * usual).toFixed(0)} %`;
    }
    return undefined;
  }

  async #halt(reason: string): Promise<RolloutResult> {
    const { directory } = this.#options;
    this.#record({ what: 'halted', reason });
    // Those that have it keep it, or have rolled back by themselves; the others do not begin.
    for (const [robot, { state, desired }] of this.#members) {
      if (state === 'accepted') continue;
      await writeDesired(directory, robot, desired);
      await this.#publish(robot, desired);
    }
    return this.#result(false, reason);
  }

  #hear(received: Received): void {
    const { robot } = received.message;
    const member = this.#members.get(robot);
    if (!member) return;
    if (received.kind === 'telemetry') {
      if (member.state !== 'announced') member.since ??= received.message;
      return;
    }
    if (received.kind !== 'event') return;
    const { event } = received.message;
    const fail = (reason: string) => {
      if (member.state === 'failed') return;
      member.state = 'failed';
      this.#record({ what: 'failed', robot, reason });
    };
    if (event.kind === 'fault' && member.state !== 'announced') fail(`fault: ${event.fault}`);
    if (event.kind !== 'delivery' || event.target !== this.#options.target) return;
    if (event.state === 'rolled back' || event.state === 'refused') fail(`${event.state}: ${event.reason}`);
    else if ((event.state === 'acting' || event.state === 'accepted') && member.state !== 'failed') {
      member.state = event.state;
      this.#record({ what: event.state, robot });
    }
  }

  #names(state: Member['state']): string[] {
    return [...this.#members].filter(([, member]) => member.state === state).map(([robot]) => robot);
  }

  #result(done: boolean, reason?: string): RolloutResult {
    const ends = { accepted: this.#names('accepted'), failed: this.#names('failed') };
    return { done, ...(reason !== undefined && { reason }), ...ends };
  }

  #record(line: Pick<RolloutRecord, 'what' | 'robot' | 'reason'>): void {
    const { directory, target, sha256, onRecord } = this.#options;
    const about = { time: new Date().toISOString(), rollout: this.#id, target, sha256, stage: this.#stage };
    const record: RolloutRecord = { ...about, ...line };
    appendFileSync(join(directory, RECORD_FILE), `${JSON.stringify(record)}\n`);
    onRecord(record);
  }

  /** Until `over`, the end of so many seconds, or the signal. */
  async #wait(seconds: number, over: () => boolean): Promise<void> {
    const end = performance.now() + 1000 * seconds;
    while (performance.now() < end && !this.#options.signal.aborted && !over())
      await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
  }
}

const sum = ({ interventions }: Telemetry) =>
  Object.values(interventions).reduce((total, count) => total + count, 0);

/** Robots that are online with a policy of the task. */
function ofTask({ robots }: Watcher, task: string): string[] {
  return [...robots.values()]
    .filter(({ connection, raw }) => connection === 'online' && raw?.policy.task === task)
    .map(({ robot }) => robot);
}

/** What robots are to run, as the file says that those without a broker read. */
export function readDesired(directory: string): DesiredFile {
  const path = join(directory, DESIRED_FILE);
  if (!existsSync(path)) return { version: TELEMETRY_VERSION, robots: {} };
  try {
    return desiredFileSchema.parse(JSON.parse(readFileSync(path, 'utf8')));
  } catch (error) {
    throw new FarsightError(`'${path}' is damaged: ${whyUnusable(error)}`);
  }
}

/** Alone, whatever other roll-outs write there. */
export async function writeDesired(
  directory: string,
  robot: string,
  target: string | undefined,
): Promise<void> {
  let unlock = lockFile(join(directory, DESIRED_LOCK));
  for (; !unlock; unlock = lockFile(join(directory, DESIRED_LOCK)))
    await new Promise((resolve) => setTimeout(resolve, AGAIN_MS));
  try {
    const { version, robots } = readDesired(directory);
    const { [robot]: _, ...others } = robots;
    const next: DesiredFile = {
      version,
      robots: target === undefined ? others : { ...others, [robot]: target },
    };
    writeWhole(join(directory, DESIRED_FILE), JSON.stringify(next, null, 1));
  } finally {
    unlock();
  }
}
