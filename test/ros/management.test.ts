// The management plane without ROS 2: the lifecycle's table, parameters, diagnostics, and how a missing ROS 2 is told.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { INTERVENTIONS, perPhase } from '../../contract/loop.js';
import { statusesOf } from '../../controller/ros/management/diagnostics.js';
import {
  outcomeOf,
  requestedTransition,
  STAGES,
  STATES,
  TRANSITIONS,
  transitionsFrom,
} from '../../controller/ros/management/lifecycle.js';
import { type ManagementState, toManagementSchema } from '../../controller/ros/management/messages.js';
import {
  changeProblem,
  initialParameters,
  PARAMETER_NAMES,
  typeProblem,
  valueProblem,
} from '../../controller/ros/management/parameters.js';
import { startManagement } from '../../controller/ros/management/startManagement.js';
import { healthyLink } from './healthyLink.js';

const percentiles = { p50: 20, p90: 30, p99: 50, p999: 80, p9999: 90, max: 100 };
const phases = perPhase(() => percentiles);
const healthy: ManagementState = {
  stage: 'active',
  policy: { path: 'policy.onnx', sha256: 'abc', task: 'inverted-pendulum' },
  loop: {
    rateHz: 500,
    mode: 'policy',
    fault: 'none',
    scheduling: 'fifo',
    ticks: 1000,
    missed: 0,
    longestMiss: 0,
    interventions: Object.fromEntries(INTERVENTIONS.map((name) => [name, 0])) as never,
    interventionsByJoint: { knee: { 'rate limit': 3 } },
    score: 0.5,
    gc: 0,
    phases,
    window: { seconds: 1, ticks: 500, missed: 0, interventions: 0, phases },
  },
  ...healthyLink(),
};
const levels = (state: ManagementState, age = 0.1, refused = new Map<string, number>()) =>
  Object.fromEntries(
    statusesOf(state, age, initialParameters(), refused).map(({ name, level }) => [name, level]),
  );

describe('the lifecycle', () => {
  it('has the transitions of lifecycle_msgs, and every outcome leads to a state', () => {
    assert.equal(new Set(TRANSITIONS.map(({ id }) => id)).size, 25);
    for (const stage of STAGES) {
      for (const transition of transitionsFrom(stage)) {
        const { goal } = outcomeOf(transition.goal, 'success');
        assert.ok((STAGES as readonly string[]).includes(goal));
        assert.equal(outcomeOf(transition.goal, 'error').goal, 'errorprocessing');
      }
    }
  });

  it('takes a label before an id, and nothing that does not fit the state', () => {
    assert.equal(requestedTransition('unconfigured', 0, 'configure')?.id, 1);
    assert.equal(requestedTransition('unconfigured', 1, '')?.label, 'configure');
    assert.equal(requestedTransition('unconfigured', 1, 'activate'), undefined);
    assert.equal(requestedTransition('active', 0, 'shutdown')?.id, 7);
    const allowed: Record<string, number[]> = {
      unconfigured: [1, 5],
      inactive: [2, 3, 6],
      active: [4, 7],
    };
    for (const state of Object.keys(STATES) as (keyof typeof STATES)[]) {
      for (let id = 0; id < 256; id++) {
        assert.equal(requestedTransition(state, id, '') !== undefined, (allowed[state] ?? []).includes(id));
      }
    }
  });
});

describe('the parameters of the node', () => {
  it('start with values that do, and refuse others in words', () => {
    const values = initialParameters();
    for (const name of PARAMETER_NAMES) assert.equal(valueProblem(name, values[name]), undefined);
    assert.match(valueProblem('rate', 1e9)!, /rate is 1000000000, outside 0 to 20000/);
    assert.match(valueProblem('rate', '500')!, /wants a number/);
    assert.match(valueProblem('rate', Number.NaN)!, /wants a number/);
    assert.match(valueProblem('interpolation', 'cubic')!, /one of hold, linear/);
    assert.match(valueProblem('diagnostics.missed_warn', 1.5)!, /whole number/);
    assert.match(
      valueProblem('use_sim_time', true)!,
      /use_sim_time: it cannot be true.*does not follow \/clock.*'stamp: arrival'/,
    );
    assert.match(valueProblem('toString', 1)!, /no parameter 'toString'/);
  });

  it('keep their types, as those of every node', () => {
    assert.equal(
      typeProblem('rate', 2),
      'Wrong parameter type, parameter {rate} is of type {double}, setting it to {integer} is not allowed. (give it a decimal point, as in 500.0)',
    );
    assert.equal(
      typeProblem('core', 3),
      'Wrong parameter type, parameter {core} is of type {integer}, setting it to {double} is not allowed.',
    );
    assert.match(typeProblem('policy', 0)!, /\{string\}, setting it to \{not set\}/);
    for (const [name, type] of [
      ['rate', 3],
      ['core', 2],
      ['policy', 4],
      ['use_sim_time', 1],
    ] as const)
      assert.equal(typeProblem(name, type), undefined);
  });

  it('change only in the stages where that is safe', () => {
    assert.equal(changeProblem('rate', 'unconfigured'), undefined);
    assert.match(changeProblem('rate', 'active')!, /while the node is active.*unconfigured/);
    assert.equal(changeProblem('policy', 'inactive'), undefined);
    assert.match(changeProblem('policy', 'active')!, /deactivate/);
    assert.equal(changeProblem('diagnostics.missed_warn', 'active'), undefined);
    assert.match(changeProblem('state_directory', 'unconfigured')!, /read-only/);
  });
});

describe('the diagnostics', () => {
  it('say that a healthy controller is', () => {
    assert.deepEqual(levels(healthy), { loop: 0, sensors: 0, commands: 0, policy: 0, safety: 0, stop: 0 });
  });

  it('name what is wrong by the thresholds', () => {
    const loop = healthy.loop!;
    const late = { ...phases, wake: { ...percentiles, p99: 300 } };
    assert.equal(levels({ ...healthy, loop: { ...loop, window: { ...loop.window, phases: late } } }).loop, 1);
    assert.equal(levels({ ...healthy, loop: { ...loop, window: { ...loop.window, missed: 10 } } }).loop, 2);
    assert.equal(levels({ ...healthy, loop: { ...loop, scheduling: 'other' } }).loop, 1);
    const [sensor] = healthy.sensors;
    assert.equal(levels({ ...healthy, sensors: [{ ...sensor, age: 0.2 }] }).sensors, 2);
    assert.equal(levels({ ...healthy, sensors: [{ ...sensor, age: null }] }).sensors, 2);
    const contested = { ...sensor, contested: { now: true, joint: 'hip', messages: 3 } };
    const [, sensors] = statusesOf({ ...healthy, sensors: [contested] }, 0, initialParameters(), new Map());
    assert.equal(sensors.level, 2);
    assert.match(sensors.message, /joint 'hip' of \/joint_states has a second publisher/);
    const conflict = { topic: '/a', ours: 'publisher', peers: 2, policy: 'deadline' } as const;
    const [, , commands] = statusesOf(
      { ...healthy, conflicts: [conflict] },
      0,
      initialParameters(),
      new Map(),
    );
    assert.equal(commands.level, 1);
    assert.match(commands.message, /2 subscribers of \/a not served: deadline does not fit/);
    const [command] = healthy.commands;
    const unheard = { ...healthy, commands: [{ ...command, listeners: 0 }] };
    assert.equal(levels(unheard).commands, 2);
    assert.equal(levels({ ...unheard, stage: 'inactive' }).commands, 1);
    assert.equal(levels({ ...healthy, commands: [{ ...command, listeners: null }] }).commands, 0);
    assert.equal(
      levels({ ...healthy, stage: 'inactive', commands: [{ ...command, failing: true }] }).commands,
      2,
    );
    const refused = { ...healthy, sensors: [{ ...sensor, refused: { 'not finite': 3 } }] };
    assert.equal(levels(refused, 0.1, new Map([['/joint_states', 1]])).sensors, 1);
    assert.equal(levels(refused, 0.1, new Map([['/joint_states', 3]])).sensors, 0);
    const stopped = { ...healthy, loop: { ...loop, mode: 'damping', fault: 'sensor stale' } as const };
    const safety = statusesOf(stopped, 0, initialParameters(), new Map()).find(
      ({ name }) => name === 'safety',
    );
    assert.equal(safety?.level, 2);
    assert.match(safety.message, /sensor stale.*rearm/);
    assert.equal(safety.values['out-of-distribution score'], '0.50');
  });

  it('tell of the emergency stop: whether it is set, who says so, and whether it is heard at all', () => {
    const stop = { ...healthy.stop, publishers: 2, age: 0.25 };
    const told = (change: object, stage: ManagementState['stage'] = 'active') =>
      statusesOf({ ...healthy, stage, stop: { ...stop, ...change } }, 0, initialParameters(), new Map()).find(
        ({ name }) => name === 'stop',
      )!;
    assert.deepEqual(told({}).values, {
      set: 'no',
      'pressed by': '0',
      'publishers of its topic': '2',
      'last heard': '0.25 s ago',
    });
    assert.equal(told({}).level, 0);
    assert.match(told({ set: true, held: 1 }).message, /pressed by 1/);
    assert.equal(told({ set: true }).level, 2);
    const silent = told({ heard: false });
    assert.deepEqual([silent.level, silent.message], [2, 'its topic is silent']);
    assert.equal(told({ heard: false }, 'inactive').level, 1);
    assert.match(told({ heard: false, publishers: 0 }).message, /nobody publishes/);
    assert.match(told({ publishers: null, age: null }).message, /no topic is configured/);
    assert.equal(levels({ ...healthy, stop: { ...stop, commandPublishers: 2 } }).commands, 2);
  });

  it('are stale when the control process is silent', () => {
    assert.deepEqual(levels(healthy, 2), { loop: 3, sensors: 3, commands: 3, policy: 3, safety: 3, stop: 3 });
  });
});

it('the state crosses between the processes as it is', () => {
  assert.deepEqual(toManagementSchema.parse({ kind: 'state', state: healthy }), {
    kind: 'state',
    state: healthy,
  });
});

const sourced = Boolean(process.env.AMENT_PREFIX_PATH && process.env.ROS_DISTRO);
it('without a sourced ROS 2 the node says what is missing', {
  skip: sourced && 'ROS 2 is sourced',
}, async () => {
  const never = async () => assert.fail();
  const handlers = {
    configure: never,
    activate: never,
    deactivate: never,
    cleanup: never,
    shutdown: never,
    emergencyStop: never,
    rearm: never,
    swapPolicy: never,
  };
  const started = startManagement({
    rosArguments: [],
    robot: 'robot',
    defaults: {},
    handlers,
    state: () => healthy,
    lost: () => assert.fail(),
    log: () => {},
  });
  await assert.rejects(started, /ROS 2 node cannot start: ROS 2 is not sourced: source ROS 2's setup.bash/);
});
