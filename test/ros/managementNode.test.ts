// The controller's ROS 2 node as ROS's own tools see it, as a hostile peer treats it, and when its process is killed.
import assert from 'node:assert/strict';
import { execFile, fork } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { FarsightError } from '../../contract/errors.js';
import { type Fault, INTERVENTIONS, type Mode, perPhase } from '../../contract/loop.js';
import type { Stage } from '../../controller/ros/management/lifecycle.js';
import type { ManagementState } from '../../controller/ros/management/messages.js';
import type { ManagementParameters } from '../../controller/ros/management/parameters.js';
import { type ManagementHandle, startManagement } from '../../controller/ros/management/startManagement.js';
import { temporaryDirectory } from '../fixtures/policy.js';
import { healthyLink } from './healthyLink.js';
import { noRclnodejs } from './needsRos.js';
import { rosDomain } from './rosDomain.js';

const NODE = '/cell/farsight_controller';
const directory = temporaryDirectory();
process.env.ROS_DOMAIN_ID = rosDomain;

/** What the control process would be, without a loop. */
class Controller {
  stage: Stage = 'unconfigured';
  mode: Mode = 'unconfigured';
  fault: Fault = 'none';
  asked: string[] = [];
  lost: string[] = [];
  lines: string[] = [];
  parameters: ManagementParameters | undefined;
  swapped: string[] = [];

  #to(stage: Stage, mode: Mode, word: string): Promise<string> {
    this.asked.push(word);
    this.stage = stage;
    this.mode = mode;
    return Promise.resolve(`${word} done`);
  }

  trip(fault: Fault): void {
    this.fault = fault;
    this.mode = 'damping';
    if (this.stage === 'active') this.stage = 'inactive';
  }

  readonly handlers = {
    configure: async (parameters: ManagementParameters) => {
      if (parameters.policy === '') throw new FarsightError('policy: no file is named');
      if (parameters.policy === 'broken') throw new Error('halfway');
      this.parameters = parameters;
      return this.#to('inactive', 'hold', 'configure');
    },
    activate: async () => {
      if (this.fault !== 'none') throw new FarsightError(`latched: ${this.fault}; rearm first`);
      return this.#to('active', 'policy', 'activate');
    },
    deactivate: () => this.#to('inactive', 'hold', 'deactivate'),
    cleanup: () => this.#to('unconfigured', 'unconfigured', 'cleanup'),
    shutdown: () => this.#to('finalized', 'unconfigured', 'shutdown'),
    emergencyStop: async (reason: string) => {
      this.asked.push('emergencyStop');
      this.trip('emergency stop');
      return `stopped: ${reason}`;
    },
    rearm: async () => {
      this.fault = 'none';
      this.mode = this.stage === 'unconfigured' ? 'unconfigured' : 'hold';
      return 'rearmed';
    },
    swapPolicy: async (path: string) => {
      this.swapped.push(path);
      return 'swapped';
    },
  };

  state(): ManagementState {
    const percentiles = { p50: 20, p90: 30, p99: 50, p999: 80, p9999: 90, max: 100 };
    const phases = perPhase(() => percentiles);
    const interventions = Object.fromEntries(INTERVENTIONS.map((name) => [name, 0])) as never;
    const { stage, mode, fault } = this;
    const window = { seconds: 1, ticks: 500, missed: 0, interventions: 0, phases };
    const loop = {
      rateHz: 500,
      mode,
      fault,
      ticks: 1000,
      missed: 0,
      longestMiss: 0,
      interventions,
      interventionsByJoint: {},
      score: 0.5,
      gc: 0,
      phases,
      window,
    };
    return {
      stage,
      policy: { path: 'policy.onnx', sha256: 'abc', task: 'inverted-pendulum' },
      loop: { ...loop, scheduling: 'fifo' },
      ...healthyLink(),
    };
  }
}

function ros2(...args: string[]): Promise<string> {
  return new Promise((resolve) => {
    execFile('ros2', args, { timeout: 60_000 }, (_, stdout, stderr) => resolve(stdout + stderr));
  });
}

/** Resolves once the daemon that `ros2` asks has met the node. */
async function daemonKnows(node: string): Promise<void> {
  await ros2('daemon', 'start');
  const end = performance.now() + 60_000;
  while (!(await ros2('node', 'list')).split('\n').includes(node))
    assert.ok(performance.now() < end, `ros2 node list never has ${node}`);
}

/** What `ros2` says to each command line, all asked at once. */
async function ros2Says(cases: readonly [args: string, said: RegExp][]): Promise<void> {
  await Promise.all(
    cases.map(async ([args, said]) => assert.match(await ros2(...args.split(' ')), said, `ros2 ${args}`)),
  );
}

async function until(what: string, holds: () => boolean): Promise<void> {
  const end = performance.now() + 60_000;
  while (!holds()) {
    assert.ok(performance.now() < end, `never came: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** The management process, found as the child of this one that runs its file. */
function managementPid(): number {
  const isOurs = (pid: string) => {
    try {
      const [, parent] = /^PPid:\s*(\d+)$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8')) ?? [];
      const command = readFileSync(`/proc/${pid}/cmdline`, 'utf8');
      return Number(parent) === process.pid && command.includes('management/process');
    } catch {
      return false;
    }
  };
  return Number(readdirSync('/proc').find((name) => /^\d+$/.test(name) && isOurs(name)));
}

function start(controller: Controller, ...rosArguments: string[]): Promise<ManagementHandle> {
  return startManagement({
    rosArguments: ['--ros-args', '-r', '__ns:=/cell', ...rosArguments],
    robot: 'robot-7',
    defaults: { policy: 'policy.onnx', rate: 500 },
    handlers: controller.handlers,
    state: () => controller.state(),
    lost: (reason) => {
      controller.lost.push(reason);
      controller.trip('emergency stop');
    },
    log: (line) => controller.lines.push(line),
  });
}

describe("the controller's ROS 2 node", { skip: noRclnodejs }, () => {
  let controller: Controller;
  let management: ManagementHandle;
  before(async () => {
    controller = new Controller();
    const file = join(directory, 'parameters.yaml');
    writeFileSync(file, `${NODE}:\n  ros__parameters: {others: 1, diagnostics: {missed_warn: 3}}\n`);
    management = await start(
      controller,
      ...['--params-file', file, '-p', 'blend_time:=2.0'],
      ...[
        '-p',
        'qos_overrides./js.subscription.depth:=5',
        '-p',
        'qos_overrides./js.subscription.history:=keep_last',
      ],
    );
    await daemonKnows(NODE);
  });
  after(async () => {
    await management?.stop();
    await ros2('daemon', 'stop');
  });

  it('is complete in ros2 node info', async () => {
    const info = await ros2('node', 'info', NODE);
    for (const name of [
      '/diagnostics: diagnostic_msgs/msg/DiagnosticArray',
      `${NODE}/latency: std_msgs/msg/Float64MultiArray`,
      `${NODE}/statistics/wake: statistics_msgs/msg/MetricsMessage`,
      `${NODE}/mode: std_msgs/msg/String`,
      `${NODE}/transition_event: lifecycle_msgs/msg/TransitionEvent`,
      `${NODE}/change_state: lifecycle_msgs/srv/ChangeState`,
      `${NODE}/set_parameters: rcl_interfaces/srv/SetParameters`,
      `${NODE}/rearm: std_srvs/srv/Trigger`,
      `${NODE}/reload_policy: std_srvs/srv/Trigger`,
    ])
      assert.ok(info.includes(name), `${name} in:\n${info}`);
  });

  it('shows its parameters with descriptions and ranges, and what ROS arguments made of them', async () => {
    const list = await ros2('param', 'list', NODE);
    for (const name of [
      'policy',
      'rate',
      'use_sim_time',
      'diagnostics.wake_p99_warn',
      'qos_overrides./diagnostics',
    ])
      assert.ok(list.includes(name), `${name} in:\n${list}`);
    await ros2Says([
      [`param get ${NODE} diagnostics.missed_warn`, /Integer value is: 3/],
      [`param get ${NODE} blend_time`, /Double value is: 2\.0/],
      [`param get ${NODE} rate`, /Double value is: 500\.0/],
      [`param describe ${NODE} rate`, /Rate of the loop[\s\S]*Max value: 20000\.0/],
      [`param get ${NODE} nothing`, /not set|not declared/i],
    ]);
  });

  it('goes through its lifecycle when ros2 lifecycle asks', async () => {
    await ros2Says([
      [`lifecycle get ${NODE}`, /unconfigured \[1\]/],
      [`lifecycle list ${NODE}`, /configure \[1\][\s\S]*shutdown \[5\]/],
    ]);
    assert.match(await ros2('lifecycle', 'set', NODE, 'configure'), /Transitioning successful/);
    assert.equal(controller.parameters?.policy, 'policy.onnx');
    assert.equal(controller.parameters?.blend_time, 2);
    const overrides = Object.entries(controller.parameters!).filter(([name]) =>
      name.startsWith('qos_overrides./js'),
    );
    assert.deepEqual(overrides.sort(), [
      ['qos_overrides./js.subscription.depth', 5],
      ['qos_overrides./js.subscription.history', 'keep_last'],
    ]);
    assert.match(await ros2('lifecycle', 'set', NODE, 'activate'), /Transitioning successful/);
    await ros2Says([
      [`param get ${NODE} qos_overrides./js.subscription.depth`, /Integer value is: 5/],
      [`lifecycle get ${NODE}`, /active \[3\]/],
    ]);
  });

  it('changes a parameter where that is safe, and says why not where it is not', async () => {
    await ros2Says([
      [`param set ${NODE} rate 250.0`, /while the node is active/],
      [`param set ${NODE} policy other.onnx`, /deactivate/],
      [
        `param set ${NODE} diagnostics.wake_p99_warn 3`,
        /\{double\}, setting it to \{integer\} is not allowed/,
      ],
      [`param set ${NODE} diagnostics.wake_p99_warn 3.0`, /Set parameter successful/],
      [`param set ${NODE} use_sim_time true`, /does not follow \/clock/],
    ]);
    assert.match(await ros2('param', 'get', NODE, 'diagnostics.wake_p99_warn'), /3\.0/);
  });

  it('publishes diagnostics, latency and the mode', async () => {
    await ros2Says([
      [
        'topic echo --once /diagnostics',
        /name: 'farsight_controller: loop'[\s\S]*wake-up p99 50 (µ|\\xB5)s[\s\S]*hardware_id: robot-7/,
      ],
      [`topic echo --once ${NODE}/mode`, /data: policy/],
      [`topic echo --once ${NODE}/latency`, /label: p50,p90,p99/],
      [`topic echo --once ${NODE}/statistics/wake`, /unit: us[\s\S]*data_type: 99\s+data: 50\.0/],
    ]);
  });

  it('follows a fault, and is rearmed', async () => {
    controller.trip('emergency stop');
    await until('the node follows the fault', () => controller.stage === 'inactive');
    assert.match(await ros2('lifecycle', 'get', NODE), /inactive \[2\]/);
    assert.match(await ros2('lifecycle', 'set', NODE, 'activate'), /failed/i);
    assert.ok(
      controller.lines.some((line) => line.includes('rearm first')),
      controller.lines.join('\n'),
    );
    assert.match(await ros2('service', 'call', `${NODE}/rearm`, 'std_srvs/srv/Trigger'), /success=True/);
    assert.match(await ros2('param', 'set', NODE, 'policy', 'better.onnx'), /successful/);
    assert.match(await ros2('service', 'call', `${NODE}/reload_policy`, 'std_srvs/srv/Trigger'), /swapped/);
    assert.deepEqual(controller.swapped, ['better.onnx']);
    assert.match(await ros2('lifecycle', 'set', NODE, 'activate'), /successful/);
  });

  it('stands every request that a hostile peer thinks of', async () => {
    const pid = managementPid();
    const peer = fork(fileURLToPath(new URL('./managementHostilePeer.js', import.meta.url)), [NODE]);
    const [code] = await once(peer, 'exit');
    assert.equal(code, 0);
    assert.equal(managementPid(), pid, controller.lines.join('\n'));
    assert.deepEqual(controller.lost, []);
    assert.match(await ros2('param', 'get', NODE, 'blend_time'), /2\.0/);
  });

  it('killed, it is missed at once, and comes back where the controller is', async () => {
    controller.fault = 'none';
    controller.stage = 'active';
    process.kill(managementPid(), 'SIGKILL');
    await until('the loss is told', () => controller.lost.length === 1);
    assert.match(controller.lost[0], /SIGKILL/);
    await until('the node is back', () => controller.lines.some((line) => line.includes('is back')));
    assert.match(await ros2('lifecycle', 'get', NODE), /inactive \[2\]/);
  });

  it('hung, it is as good as dead', async () => {
    const before = controller.lines.length;
    process.kill(managementPid(), 'SIGSTOP');
    await until('the loss is told', () => controller.lost.length === 2);
    assert.match(controller.lost[1], /no sign of life/);
    await until('the node is back', () =>
      controller.lines.slice(before).some((line) => line.includes('is back')),
    );
  });

  it('a pause of the control process itself is no loss', () => {
    const end = performance.now() + 2000;
    while (performance.now() < end);
    return new Promise<void>((resolve) =>
      setTimeout(() => {
        assert.equal(controller.lost.length, 2);
        resolve();
      }, 300),
    );
  });

  it('an error halfway stops the robot and begins anew', async () => {
    controller.stage = 'unconfigured';
    await ros2('lifecycle', 'get', NODE);
    assert.match(await ros2('param', 'set', NODE, 'policy', 'broken'), /successful/);
    controller.asked = [];
    assert.match(await ros2('lifecycle', 'set', NODE, 'configure'), /failed/i);
    assert.deepEqual(controller.asked, ['emergencyStop', 'cleanup']);
    assert.match(await ros2('lifecycle', 'get', NODE), /unconfigured \[1\]/);
  });
});

it('ROS arguments that do not do are told in one line', { skip: noRclnodejs }, async () => {
  const started = start(new Controller(), '-p', 'rate:=-5.0', '-p', 'interpolation:=cubic');
  await assert.rejects(started, /rate is -5, outside 0 to 20000; interpolation is 'cubic'/);
  await assert.rejects(
    start(new Controller(), '-p', 'rate:=500', '-p', 'core:=1.0', '-p', 'use_sim_time:=true'),
    /parameter \{rate\} is of type \{double\}, setting it to \{integer\}.*\{core\}.*\/clock/,
  );
});
