// What becomes of the robot when something fails: the controller, the simulated robot, an operator and an observer of the
// commands, each in a process of its own. Whatever happens, each command is finite, in range, and no jump from the last;
// the controller ends in its safe mode in the time that the policy states, says why, and works again once it is rearmed.
import assert from 'node:assert/strict';
import { type ChildProcess, execFile, fork } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { after, before, beforeEach, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { temporaryDirectory } from '../fixtures/policy.js';
import { FORCE, RATE_LIMIT, SENSOR_TIMEOUT, STUCK_TIMEOUT, writeBalancingPolicy } from './balancingPolicy.js';
import type { Observed } from './commandObserver.js';
import { farsight, managementPid, now, until } from './farsightProcess.js';
import { noRclnodejs } from './needsRos.js';
import type { Orders, Response, Told } from './operator.js';
import type { PeerOrder } from './peer.js';
import { rosDomain } from './rosDomain.js';

const RATE = 500;
const HEARTBEAT_TIMEOUT = 1;
/** What a machine under load adds to a stated time, s. */
const SLACK = 0.5;
/** A robot whose readings never stand still, as those of a real one. */
const HEALTHY = 'none positionNoise=0.001 velocityNoise=0.2';

process.env.ROS_DOMAIN_ID = rosDomain;
const here = (name: string) => fileURLToPath(new URL(name, import.meta.url));

describe('the controller when something fails', { skip: noRclnodejs, timeout: 300_000 }, () => {
  const directory = temporaryDirectory();
  const running: ChildProcess[] = [];
  let robot: ReturnType<typeof farsight>;
  let controller: ReturnType<typeof farsight>;
  let observer: ChildProcess;
  let operator: ChildProcess;
  let operatorDied: Promise<never>;
  let orders = 0;

  async function startRobot() {
    const set = HEALTHY.split(' ').slice(1);
    robot = farsight([], 'robot', '--task', 'inverted-pendulum', ...set.flatMap((one) => ['--set', one]));
    running.push(robot.child);
    await robot.says('joint_states at');
  }

  async function startController() {
    const policy = join(directory, 'policy.onnx');
    writeBalancingPolicy(policy);
    controller = farsight(
      ['--import', new URL('./blockable.js', import.meta.url).href],
      ...['control', '--robot', 'ros2', '--policy', policy, '--rate', String(RATE)],
      ...['--ros-args', '-p', `heartbeat_timeout:=${HEARTBEAT_TIMEOUT.toFixed(1)}`, '--'],
    );
    running.push(controller.child);
    await controller.says('the policy acts at');
  }

  before(async () => {
    observer = fork(here('./commandObserver.js'), [FORCE, RATE_LIMIT / RATE].map(String));
    operator = fork(here('./operator.js'));
    operatorDied = once(operator, 'exit').then(() => assert.fail('the operator died'));
    operatorDied.catch(() => {});
    running.push(observer, operator);
    await once(operator, 'message');
    // The controller first: it waits for a robot that is slow, and says for what.
    const started = startController();
    await until(
      () => 'the controller is there',
      () => controller !== undefined,
    );
    await controller.says('waiting for the robot: topic /joint_states is published by nobody');
    await Promise.all([startRobot(), started]);
  });
  after(() => {
    for (const child of running) child.kill('SIGKILL');
  });

  async function observed(): Promise<Observed> {
    observer.send({});
    const [seen] = await once(observer, 'message');
    return seen as Observed;
  }

  /** What the operator does, and what comes of it. */
  async function ask<O extends keyof Orders>(order: O, ...given: Parameters<Orders[O]>) {
    const id = orders++;
    const answered = new Promise<Awaited<ReturnType<Orders[O]>>>((resolve) => {
      const hear = (message: { id: number; answer: Awaited<ReturnType<Orders[O]>> }) => {
        if (message.id !== id) return;
        operator.off('message', hear);
        resolve(message.answer);
      };
      operator.on('message', hear);
    });
    operator.send({ id, order, given: given[0] });
    return Promise.race([answered, operatorDied]);
  }
  type Trigger = 'configure' | 'activate' | 'deactivate' | 'cleanup' | 'rearm' | 'reset' | 'emergencyStop';
  const succeed = (order: Trigger) =>
    until(
      () => `${order} succeeds`,
      async () => (await ask(order)).success,
    );

  /** Makes the robot suffer `faults`; returns when that began. */
  async function suffer(faults: string): Promise<number> {
    const from = robot.said.stderr.length;
    const at = now();
    // A robot that has just been started may not hear yet.
    await until(
      () => `the robot suffers ${faults}; it says ${robot.said.stderr}`,
      async () => {
        await ask('suffer', faults);
        await sleep(50);
        return robot.said.stderr.includes('faults: ', from);
      },
    );
    return at;
  }

  /** The policy moves the robot, and nothing was wrong with any command so far. */
  async function acts(): Promise<void> {
    const from = now();
    let told: Told | undefined;
    await until(
      () => `the policy acts; it is ${told?.mode}: ${told?.fault}`,
      async () => {
        told = await ask('look');
        return told.mode === 'policy' && (await observed()).movedAt > from + 100;
      },
    );
    assert.deepEqual((await observed()).wrong, []);
  }

  /** After `strike`, which returns when it began, the robot is stopped for `cause` within `seconds`. */
  async function stops(mode: string, cause: string, seconds: number, strike: () => Promise<number>) {
    const from = controller.said.stderr.length;
    const at = await strike();
    let told: Told | undefined;
    await until(
      () => `a fault; it is ${JSON.stringify(told)}`,
      async () => {
        told = await ask('look');
        return told.fault !== 'none';
      },
    );
    assert.deepEqual([told?.mode, told?.fault], [mode, cause]);
    await controller.says(`${mode}: ${cause}`, from);
    await until(
      () => `${cause} in the diagnostics; they are ${JSON.stringify(told?.statuses.safety)}`,
      async () => {
        told = await ask('look');
        return told.statuses.safety.message.includes(`${mode}: ${cause}`);
      },
    );
    const { movedAt, newest, longestGap, wrong } = await observed();
    assert.equal(newest, 0);
    assert.ok(movedAt - at <= 1000 * (seconds + SLACK), `safe after ${(movedAt - at).toFixed(0)} ms`);
    assert.ok(longestGap < 1000 * SLACK, `no command for ${longestGap} ms`);
    assert.deepEqual(wrong, []);
  }

  /** A person puts the robot back, rearms, and only then activates. */
  async function recovers(rearm: () => Promise<void> = () => succeed('rearm')): Promise<void> {
    const { movedAt } = await observed();
    await suffer(HEALTHY);
    await succeed('reset');
    await rearm();
    await sleep(200);
    assert.equal((await observed()).movedAt, movedAt, 'nothing moved before the activation');
    assert.equal((await ask('look')).mode, 'hold');
    await succeed('activate');
    await acts();
  }

  /** The policy goes on through it all. */
  async function goesOn(during: () => Promise<unknown>): Promise<void> {
    const from = controller.said.stderr.length;
    await during();
    await acts();
    assert.doesNotMatch(controller.said.stderr.slice(from), /(?:damping|fault): /);
  }

  beforeEach(async () => {
    const { fault } = await ask('look');
    if (fault !== '' && fault !== 'none') await recovers();
    await acts();
  });

  const cases = [
    ['sensors stop', 'freeze=true', 'fault', 'sensor stale', SENSOR_TIMEOUT],
    ['sensors say the same with fresh stamps', 'stuck=all', 'fault', 'sensor stuck', STUCK_TIMEOUT],
    ['sensors jump', 'jump=0.5', 'fault', 'sensor jump', 0],
    ['sensors say NaN', 'nan=all', 'fault', 'observation not finite', SENSOR_TIMEOUT],
    ['stamps go back', 'backward=0.05', 'fault', 'sensor stamp went backward', SENSOR_TIMEOUT],
    ['the policy answers NaN', 'velocityNoise=4', 'damping', 'policy output not finite', 0.5],
  ] as const;
  for (const [what, faults, mode, cause, seconds] of cases) {
    it(`${what}: ${cause}`, async () => {
      await stops(mode, cause, seconds, () => suffer(faults));
      if (faults === 'freeze=true' || faults === 'nan=all') {
        const { success, message } = (await ask('rearm')) as Response;
        assert.deepEqual([success, message], [false, `${cause} still holds: the robot stays in ${mode}`]);
      }
      await recovers();
    });
  }

  it('the emergency stop is called', async () => {
    await stops('damping', 'emergency stop', 0, async () => {
      const at = now();
      await succeed('emergencyStop');
      return at;
    });
    await recovers();
  });

  it('somebody else measures a joint too: second publisher', async () => {
    const peer = fork(here('./peer.js'));
    running.push(peer);
    try {
      await stops('damping', 'second publisher', 0, async () => {
        peer.send({ rates: { rival: 100 } } satisfies PeerOrder);
        // Until the two processes have found each other.
        await until(
          () => 'a second publisher in the diagnostics',
          async () => /'hinge' of joint_states/.test((await ask('look')).statuses.sensors.message),
        );
        return now();
      });
    } finally {
      peer.kill('SIGKILL');
    }
    await recovers();
  });

  it('sensors that are known, but come after the activation was asked for: it waits for them', async () => {
    await succeed('deactivate');
    await succeed('cleanup');
    await suffer('loss=1');
    await succeed('configure');
    const activated = ask('activate');
    await sleep(1500);
    await suffer(HEALTHY);
    assert.equal((await activated).success, true);
    await acts();
  });

  it('half of the sensor messages are lost: the policy goes on', () =>
    goesOn(async () => {
      await suffer('loss=0.5');
      await sleep(2000);
      await suffer(HEALTHY);
    }));

  it('10,000 messages of garbage come a second: they are counted, and the policy goes on', () =>
    goesOn(async () => {
      const peer = fork(here('./peer.js'));
      running.push(peer);
      peer.send({ rates: { garbage: 8000, misnamed: 2000 } } satisfies PeerOrder);
      let values: Record<string, string> = {};
      const refused = (reason: string) => Number(values[`joint_states refused: ${reason}`] ?? 0);
      await until(
        () => `garbage refused; there is ${JSON.stringify(values)}`,
        async () => {
          values = (await ask('look')).statuses.sensors.values;
          const others = Number(values['joint_states received of other joints'] ?? 0);
          return refused('malformed') > 16_000 && others > 4000;
        },
      );
      assert.equal((await ask('look')).statuses.sensors.level, 1);
      peer.kill('SIGKILL');
    }));

  it('a peer asks the node for all that is wrong: the policy goes on', () =>
    goesOn(async () => {
      const pid = managementPid(controller.child.pid);
      // What it sends may keep the node busy for longer than a loss of the node is to be noticed after here.
      assert.equal(await ask('patience', 30), true);
      const peer = fork(here('./managementHostilePeer.js'), ['/farsight_controller']);
      running.push(peer);
      const [code] = await once(peer, 'exit');
      assert.equal(code, 0);
      assert.equal(managementPid(controller.child.pid), pid);
      assert.equal(await ask('patience', HEARTBEAT_TIMEOUT), true);
    }));

  it('the robot dies, and returns: sensor stale', async () => {
    await stops('fault', 'sensor stale', SENSOR_TIMEOUT, async () => {
      robot.child.kill('SIGKILL');
      return now();
    });
    await startRobot();
    await recovers();
  });

  it('the main thread is blocked for 2 s: heartbeat lost', async () => {
    await stops('damping', 'heartbeat lost', HEARTBEAT_TIMEOUT, async () => {
      controller.child.kill('SIGUSR2');
      return now();
    });
    await recovers();
  });

  it('the management process is killed, and comes back: management lost', async () => {
    const from = controller.said.stderr.length;
    await stops('damping', 'management lost', 0, async () => {
      process.kill(managementPid(controller.child.pid), 'SIGKILL');
      return now();
    });
    await controller.says('node /farsight_controller is back', from);
    await recovers(async () => {
      const args = ['service', 'call', '/farsight_controller/rearm', 'std_srvs/srv/Trigger'];
      const said = await new Promise<string>((resolve) => {
        execFile('ros2', args, { timeout: 60_000 }, (_, stdout, stderr) => resolve(stdout + stderr));
      });
      assert.match(said, /success=True, message="rearmed after 'management lost'/);
    });
  });

  it('it ends when it is told to, with the safe command last', async () => {
    // Out of the middle of large commands.
    await suffer('velocityNoise=0.8');
    await acts();
    const ended = once(controller.child, 'close');
    controller.child.kill('SIGINT');
    assert.deepEqual((await ended)[0], 0, controller.said.stderr);
    const { newest, wrong } = await observed();
    assert.equal(newest, 0);
    assert.deepEqual(wrong, []);
    const { fault } = JSON.parse(controller.said.stdout.trim().split('\n').at(-1)!);
    assert.equal(fault, 'none');
    const robotEnded = once(robot.child, 'close');
    robot.child.kill('SIGINT');
    await robotEnded;
    assert.deepEqual(JSON.parse(robot.said.stdout).refusals, {});
  });
});
