// A robot, its controller in a terminal, and everybody who can stop it, each in a process of its own: one stop after another,
// from any source, in any state of the life cycle, with a watchdog beside it and the controller's main thread blocked.
import assert from 'node:assert/strict';
import {
  type ChildProcess,
  type ChildProcessWithoutNullStreams,
  execFile,
  fork,
  spawn,
} from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { FARSIGHT } from '../fixtures/command.js';
import { FORCE, RATE_LIMIT, writeBalancingPolicy } from './balancingPolicy.js';
import type { Observed } from './commandObserver.js';
import { farsight, managementPid, now, until } from './farsightProcess.js';
import type { Orders, Response, Told } from './operator.js';
import type { PeerOrder } from './peer.js';
import type { StopperOrder } from './stopper.js';

export const SOURCES = [
  'reliable',
  'bestEffort',
  'passer',
  'service',
  'key',
  'terminal',
  'heartbeat',
] as const;
export type StopSource = (typeof SOURCES)[number];
export const STATES = ['unconfigured', 'configuring', 'inactive', 'active', 'damping'] as const;
export type StopState = (typeof STATES)[number];

const RATE = 500;
const TOPIC = '/emergency_stop';
export const TIMEOUT = 0.5;
const BLOCK_MS = 150;
const MAP = `
sensors:
  - { topic: joint_states, type: sensor_msgs/JointState, joints: [slider, hinge] }
commands:
  - { topic: forward_command_controller/commands, type: std_msgs/Float64MultiArray, joints: [slider] }
emergencyStop: { topic: ${TOPIC}, timeout: ${TIMEOUT} }
episodes: { resets: farsight_robot/resets, terminations: farsight_robot/terminations }
`;
const here = (name: string) => fileURLToPath(new URL(name, import.meta.url));

export class StopRehearsal {
  readonly #directory: string;
  readonly #running: ChildProcess[] = [];
  #controller!: ChildProcessWithoutNullStreams;
  #controllerPid = 0;
  #said = '';
  #observer!: ChildProcess;
  #operator!: ChildProcess;
  #stopper!: ChildProcess;
  #orders = 0;

  /** The directory is for its files. */
  constructor(directory: string) {
    this.#directory = directory;
  }

  get said(): string {
    return this.#said;
  }

  async start(): Promise<void> {
    this.#observer = fork(here('./commandObserver.js'), [FORCE, RATE_LIMIT / RATE].map(String));
    this.#operator = fork(here('./operator.js'));
    this.#stopper = fork(here('./stopper.js'), [TOPIC]);
    const noise = ['--set', 'positionNoise=0.001', '--set', 'velocityNoise=0.2'];
    const robot = farsight([], 'robot', '--task', 'inverted-pendulum', ...noise);
    this.#running.push(this.#observer, this.#operator, this.#stopper, robot.child);
    await Promise.all([once(this.#operator, 'message'), once(this.#stopper, 'message')]);
    await robot.says('joint_states at');
    await this.startController();
  }

  /** A new controller, unconfigured, in a terminal. */
  async startController(): Promise<void> {
    const file = (name: string) => join(this.#directory, name);
    writeFileSync(file('map.yaml'), MAP);
    writeBalancingPolicy(file('policy.onnx'));
    const blockable = new URL('./blockable.js', import.meta.url).href;
    const command = [
      ...[process.execPath, '--import', blockable, FARSIGHT, 'control', '--robot', 'ros2', '--wait'],
      ...['--policy', file('policy.onnx'), '--robot-map', file('map.yaml'), '--state', file('state')],
      // This is about stops, on a machine that may be busy.
      ...['--rate', String(RATE), '--ros-args', '-p', 'sensor_timeout:=2.0', '--'],
    ].join(' ');
    this.#said = '';
    const env = { ...process.env, FARSIGHT_TEST_BLOCK: String(BLOCK_MS) };
    this.#controller = spawn('script', ['-qfec', `exec ${command}`, '/dev/null'], { env });
    this.#running.push(this.#controller);
    this.#controller.stdout.on('data', (piece) => {
      this.#said += piece;
    });
    await until(
      () => `the controller waits; it says ${this.#said}`,
      () => this.#said.includes('waiting to be configured'),
    );
    this.#controllerPid = childOf(this.#controller.pid!);
    // Nobody hears what is pressed before the two have found each other; that is what 'must be heard' is for.
    let heard: string | undefined;
    await until(
      () => `three publishers of the stop are known; there are ${heard}`,
      async () => {
        heard = (await this.look()).statuses.stop?.values['publishers of its topic'];
        return heard === '3';
      },
    );
  }

  killManagement(): void {
    process.kill(managementPid(this.#controllerPid), 'SIGKILL');
  }

  async killController(): Promise<void> {
    const ended = once(this.#controller, 'close');
    process.kill(this.#controllerPid, 'SIGKILL');
    await ended;
  }

  /** 10,000 messages of garbage a second on the sensors' topic. Returns how to end them. */
  flood(): () => void {
    const peer = fork(here('./peer.js'));
    this.#running.push(peer);
    peer.send({ rates: { garbage: 8000, misnamed: 2000 } } satisfies PeerOrder);
    return () => void peer.kill('SIGKILL');
  }

  stop(): void {
    if (this.#controllerPid) process.kill(this.#controllerPid, 'SIGKILL');
    for (const child of this.#running) child.kill('SIGKILL');
  }

  async observed(): Promise<Observed> {
    this.#observer.send({});
    return (await once(this.#observer, 'message'))[0] as Observed;
  }

  /** What the operator does, and what comes of it. */
  async ask<O extends keyof Orders>(
    order: O,
    given?: Parameters<Orders[O]>[0],
  ): Promise<Awaited<ReturnType<Orders[O]>>> {
    const id = this.#orders++;
    const answered = new Promise<Awaited<ReturnType<Orders[O]>>>((resolve) => {
      const hear = (message: { id: number; answer: Awaited<ReturnType<Orders[O]>> }) => {
        if (message.id !== id) return;
        this.#operator.off('message', hear);
        resolve(message.answer);
      };
      this.#operator.on('message', hear);
    });
    this.#operator.send({ id, order, given });
    return answered;
  }

  async succeed(
    order: 'configure' | 'activate' | 'deactivate' | 'cleanup' | 'rearm' | 'reset',
  ): Promise<void> {
    let answer: Response | undefined;
    await until(
      () => `${order} succeeds: ${JSON.stringify(answer)}; it says ${this.#said.slice(-2000)}`,
      async () => {
        answer = (await this.ask(order)) as Response;
        return answer.success;
      },
    );
  }

  /** Whether a fault is written down. */
  get latched(): boolean {
    return existsSync(join(this.#directory, 'state', 'latched-fault.json'));
  }

  async isLatched(): Promise<void> {
    await until(
      () => `a latched fault; it says ${this.#said.slice(-2000)}`,
      () => this.latched,
    );
  }

  /** Keeps the controller's main thread busy for BLOCK_MS. */
  block(): void {
    process.kill(this.#controllerPid, 'SIGUSR2');
  }

  /** Has a source say stop. Returns when it did, ms since 1970. */
  async press(source: StopSource, held = false): Promise<number> {
    const order = async (given: StopperOrder): Promise<number> => {
      this.#stopper.send(given);
      return (await once(this.#stopper, 'message'))[0] as number;
    };
    switch (source) {
      case 'reliable':
      case 'bestEffort':
        return order({ press: source, held });
      case 'passer':
        return order({ passer: true });
      case 'heartbeat':
        return order({ watchdog: false });
      case 'service': {
        const at = now();
        assert.equal((await this.ask('emergencyStop')).success, true);
        return at;
      }
      case 'key': {
        const at = now();
        this.#controller.stdin.write(' ');
        return at;
      }
      case 'terminal': {
        const at = now();
        const given = ['topic', 'pub', '--once', TOPIC, 'std_msgs/msg/Bool', 'data: true'];
        await new Promise<void>((resolve) => execFile('ros2', given, { timeout: 60_000 }, () => resolve()));
        return at;
      }
    }
  }

  async release(source: StopSource): Promise<void> {
    const order =
      source === 'heartbeat' ? { watchdog: true } : { release: source as 'reliable' | 'bestEffort' };
    if (!['heartbeat', 'reliable', 'bestEffort'].includes(source)) return;
    this.#stopper.send(order satisfies StopperOrder);
    await once(this.#stopper, 'message');
  }

  /** Puts the controller into a state; a transition is left under way. */
  async bring(state: StopState): Promise<Promise<unknown>> {
    if (this.latched) await this.succeed('rearm');
    const stage = await this.stage();
    if (state === 'unconfigured' || state === 'configuring') {
      if (stage === 'active') await this.succeed('deactivate');
      if (stage !== 'unconfigured') await this.succeed('cleanup');
      if (state === 'unconfigured') return Promise.resolve();
      const under = this.ask('configure');
      await sleep(1500 * Math.random());
      return under;
    }
    if (stage === 'unconfigured') await this.succeed('configure');
    if (state === 'inactive') {
      if (stage === 'active') await this.succeed('deactivate');
      return Promise.resolve();
    }
    if (stage !== 'active') {
      await this.succeed('reset');
      await this.succeed('activate');
    }
    const from = now();
    await until(
      () => 'the policy moves the robot',
      async () => (await this.observed()).movedAt > from + 20,
    );
    if (state === 'damping') await this.press('service');
    return Promise.resolve();
  }

  async stage(): Promise<string> {
    return (await this.ask('stage')) as string;
  }

  /**
   * One stop: it must be latched whatever the state, nothing may be activated over it, and the last unsafe command is
   * seen soon. Returns the time to that, ms; undefined where the policy did not act. The robot is rearmed afterwards.
   */
  async trial(source: StopSource, state: StopState, blocked: boolean): Promise<number | undefined> {
    const under = await this.bring(state);
    if (blocked) {
      this.block();
      await sleep(5);
    }
    const at = await this.press(source);
    let latency: number | undefined;
    const loses = source === 'heartbeat' && state !== 'active';
    if (!loses) await this.isLatched();
    if (state === 'active') {
      await sleep(source === 'heartbeat' ? 1000 * TIMEOUT + 50 : 50);
      const { movedAt, wrong } = await this.observed();
      assert.deepEqual(wrong, []);
      latency = Math.max(0, movedAt - at);
    }
    await under;
    if (loses) await sleep(1000 * TIMEOUT + 50);
    // Nothing acts over it.
    if ((await this.stage()) === 'unconfigured') {
      if (state === 'unconfigured' && Math.random() < 0.1) {
        await this.succeed('configure');
        assert.equal((await this.ask('activate')).success, false);
      }
    } else assert.equal((await this.ask('activate')).success, false, this.#said.slice(-2000));
    const { movedAt } = await this.observed();
    await sleep(20);
    assert.equal((await this.observed()).movedAt, movedAt, 'nothing moves');
    await this.release(source);
    if (source === 'passer' || source === 'terminal') await sleep(1400);
    if (!loses || this.latched) await this.succeed('rearm');
    await until(
      () => 'nothing is latched',
      () => !this.latched,
    );
    return latency;
  }

  /** Serves another policy file, its own when left out. */
  async reload(path: string | undefined, succeeds: boolean): Promise<void> {
    assert.equal(await this.ask('policy', path ?? join(this.#directory, 'policy.onnx')), true);
    const { success, message } = (await this.ask('reload')) as Response;
    assert.equal(success, succeeds, message);
    if (path !== undefined) await this.ask('policy', join(this.#directory, 'policy.onnx'));
  }

  async look(): Promise<Told> {
    return this.ask('look');
  }
}

function childOf(pid: number): number {
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    try {
      const [, parent] = /^PPid:\s*(\d+)$/m.exec(readFileSync(`/proc/${name}/status`, 'utf8')) ?? [];
      if (Number(parent) === pid) return Number(name);
    } catch {
      // It has ended meanwhile.
    }
  }
  throw new Error(`process ${pid} has no child`);
}
