// Task files: the built-in ones are Gymnasium's, a user's own is loaded or refused with the field at fault.
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { FarsightError } from '../../contract/errors.js';
import { interfaceSchema, jointsOf } from '../../contract/terms.js';
import { Random } from '../../trainer/random.js';
import { mujoco } from '../../trainer/sim/mujoco.js';
import { Physics } from '../../trainer/sim/physics.js';
import { loadTask, taskInterface, taskNames } from '../../trainer/sim/task.js';
import { World } from '../../trainer/sim/world.js';

const folder = mkdtempSync(join(tmpdir(), 'farsight-task-'));
after(() => rmSync(folder, { recursive: true }));

const MJCF = `<mujoco>
  <compiler meshdir="meshes"/>
  <include file="parts/foot.xml"/>
  <option timestep="0.005"/>
  <worldbody>
    <body><freejoint name="root"/><geom size="0.1"/>
      <body><joint name="knee" type="hinge" axis="0 1 0"/><geom size="0.1" pos="0 0 1"/></body>
      <body><joint name="toe" type="slide" axis="0 0 1"/><geom type="mesh" mesh="foot" pos="0 0 2"/></body>
    </body>
  </worldbody>
  <actuator><position joint="knee" kp="10" timeconst="0.1" ctrlrange="-1 1"/></actuator>
</mujoco>`;
writeFileSync(join(folder, 'leg.xml'), MJCF);
mkdirSync(join(folder, 'parts'));
const FOOT = '<mujoco><asset><mesh name="foot" file="foot.obj"/></asset></mujoco>';
writeFileSync(join(folder, 'parts', 'foot.xml'), FOOT);
mkdirSync(join(folder, 'meshes'));
const CORNERS = ['0 0 0', '1 0 0', '0 1 0', '0 0 1'].map((corner) => `v ${corner}`);
const FACES = ['1 3 2', '1 2 4', '1 4 3', '2 3 4'].map((face) => `f ${face}`);
writeFileSync(join(folder, 'meshes', 'foot.obj'), [...CORNERS, ...FACES, ''].join('\n'));

let files = 0;
/** Writes a task's file in which `change` replaces fields (as source text), and returns its path. */
function taskFile(change: Record<string, string> = {}): string {
  const fields: Record<string, string> = {
    name: "'leg'",
    mjcf: "'leg.xml'",
    frameSkip: '4',
    maxEpisodeSteps: '100',
    observation:
      "[{ kind: 'jointPosition', joint: 'knee', scale: 2 }, { kind: 'jointVelocity', joint: 'toe' }]",
    action: "[{ kind: 'position', joint: 'knee', limits: [-0.5, 0.5] }]",
    reset:
      "{ position: { distribution: 'normal', scale: 0 }, velocity: { distribution: 'normal', scale: 0 } }",
    reward: "({ previous, next, dt }) => (next.position('knee') - previous.position('knee')) / dt",
    terminated: '(observation) => observation[0] > 1',
    ...change,
  };
  const path = join(folder, `task${files++}.mjs`);
  const text = Object.entries(fields).map(([name, value]) => `  ${name}: ${value},`);
  writeFileSync(path, `export default {\n${text.join('\n')}\n};\n`);
  return path;
}

test('a task knows the ranges that its MJCF gives to the joints of its terms', async () => {
  const ranges = async (name: string) => [...(await loadTask(name)).jointRanges];
  assert.deepEqual(await ranges('inverted-pendulum'), [
    ['slider', [-1, 1]],
    ['hinge', [-Math.PI / 2, Math.PI / 2]],
  ]);
  const hopper = (await ranges('hopper')).map(([joint]) => joint);
  assert.deepEqual(hopper, ['thigh_joint', 'leg_joint', 'foot_joint']);
});

const TORSO = 'root.z root.qw root.qx root.qy root.qz';
const TORSO_MOTION = 'root.x root.y root.wx root.wy root.wz';

test("the built-in tasks have the mass, the rate and the interface of Gymnasium's", async () => {
  const expected: Record<string, [rate: number, joints: string]> = {
    'inverted-pendulum': [25, 'slider hinge'],
    hopper: [125, 'rootz rooty thigh_joint leg_joint foot_joint rootx'],
    walker2d: [
      125,
      'rootz rooty thigh_joint leg_joint foot_joint thigh_left_joint leg_left_joint foot_left_joint rootx',
    ],
    'half-cheetah': [20, 'rootz rooty bthigh bshin bfoot fthigh fshin ffoot rootx'],
    ant: [20, `${TORSO} hip_1 ankle_1 hip_2 ankle_2 hip_3 ankle_3 hip_4 ankle_4 ${TORSO_MOTION}`],
    humanoid: [
      1e3 / 15,
      `${TORSO} abdomen_z abdomen_y abdomen_x right_hip_x right_hip_z right_hip_y right_knee left_hip_x left_hip_z left_hip_y left_knee right_shoulder1 right_shoulder2 right_elbow left_shoulder1 left_shoulder2 left_elbow ${TORSO_MOTION}`,
    ],
  };
  assert.deepEqual(Object.keys(expected), taskNames);
  const engine = await mujoco();
  for (const [name, [rate, joints]] of Object.entries(expected)) {
    const task = await loadTask(name);
    const model = engine.MjModel.from_xml_string(task.mjcf.xml);
    const mass = (model.body_mass as Float64Array).reduce((sum, value) => sum + value, 0);
    model.delete();
    const fixture = JSON.parse(readFileSync(`test/sim/fixtures/${name}.json`, 'utf8'));
    assert.ok(Math.abs(mass - fixture.mass) < 1e-9, `${name}: mass ${mass}`);
    assert.ok(Math.abs(task.controlRate - rate) < 1e-8);
    assert.deepEqual(jointsOf(task).join(' '), joints);
    assert.equal(task.name, name);
    assert.deepEqual(interfaceSchema.parse(taskInterface(task)), taskInterface(task));
  }
});

test("the built-in tasks end their episodes where Gymnasium's do", async () => {
  const cases: [string, number[], boolean][] = [
    ['inverted-pendulum', [0, 0.19, 0, 0], false],
    ['inverted-pendulum', [0, -0.21, 0, 0], true],
    ['inverted-pendulum', [0, 0, 0, Number.NaN], true],
    ['hopper', [0.71, 0.19, 0, 0, 0, 10, 0, 0, 0, 0, 0], false],
    ['hopper', [0.69, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], true],
    ['hopper', [1.25, -0.2, 0, 0, 0, 0, 0, 0, 0, 0, 0], true],
    ['hopper', [1.25, 0, 0, 0, 100, 0, 0, 0, 0, 0, 0], true],
    ['hopper', [1.25, 0, 0, 0, 0, 0, Number.NaN, 0, 0, 0, 0], true],
    ['walker2d', [0.81, 0.99, ...new Array(15).fill(0)], false],
    ['walker2d', [0.79, 0, ...new Array(15).fill(0)], true],
    ['walker2d', [2, 0, ...new Array(15).fill(0)], true],
    ['walker2d', [1.25, -1, ...new Array(15).fill(0)], true],
    ['half-cheetah', [-1, 3, ...new Array(15).fill(0)], false],
    ['ant', [0.25, ...new Array(26).fill(0)], false],
    ['ant', [0.19, ...new Array(26).fill(0)], true],
    ['ant', [1.01, ...new Array(26).fill(0)], true],
    ['ant', [0.5, Number.NaN, ...new Array(25).fill(0)], true],
    ['humanoid', [1.4, ...new Array(44).fill(0)], false],
    ['humanoid', [0.99, ...new Array(44).fill(0)], true],
    ['humanoid', [2, ...new Array(44).fill(0)], true],
  ];
  for (const [name, observation, ends] of cases) {
    const task = await loadTask(name);
    assert.equal(task.terminated(Float32Array.from(observation)), ends, `${name} ${observation}`);
  }
});

test("a user's task with an MJCF file, an included one and a mesh beside it is simulated", async () => {
  const task = await loadTask(taskFile());
  assert.equal(task.controlRate, 50);
  const world = await World.create(task);
  const start = { qpos: [0, 0, 0, 1, 0, 0, 0, 0.25, 0], qvel: [0, 0, 0, 0, 0, 0, 0, 0.5] };
  world.setState(start);
  assert.deepEqual([...world.observation()], [0.5, 0.5]);
  const before = world.state().qpos[7];
  const step = world.step([-0.5]);
  assert.ok(step.reward < 0, 'the knee follows its position command');
  assert.equal(step.reward, (world.state().qpos[7] - before) / 0.02);
  world.setState(start);
  assert.deepEqual(world.step([-0.5]), step, "the actuator's own state was left from before");
  world.dispose();
});

test('the numbers of a free joint are those of MuJoCo, and start at an orientation of unit length', async () => {
  const terms = [
    ...['x', 'y', 'z', 'qw', 'qx', 'qy', 'qz'].map(
      (number) => `{ kind: 'jointPosition', joint: 'root.${number}' }`,
    ),
    ...['x', 'y', 'z', 'wx', 'wy', 'wz'].map(
      (number) => `{ kind: 'jointVelocity', joint: 'root.${number}' }`,
    ),
  ];
  const noise = "{ distribution: 'uniform', scale: 0.1 }";
  const task = await loadTask(
    taskFile({
      observation: `[${terms}]`,
      reset: `{ position: ${noise}, velocity: ${noise} }`,
      reward: "({ next }) => next.body('world')[0] + next.centreOfMass[2]",
    }),
  );
  assert.equal(task.jointRanges.has('root.x'), false);
  const world = await World.create(task);
  const body = [1, 2, 3, 0.5, -0.5, 0.5, 0.5, 4, 5, 6, 7, 8, 9];
  world.setState({ qpos: [...body.slice(0, 7), 0, 0], qvel: [...body.slice(7), 0, 0] });
  assert.deepEqual([...world.observation()], body);
  const start = world.reset(new Random(3));
  assert.notEqual(start[4], 0);
  assert.ok(Math.abs(Math.hypot(...start.slice(3, 7)) - 1) < 1e-6, `orientation ${start.slice(3, 7)}`);
  world.dispose();
});

test('where a recording does not hold how far a body went, its speed counts', async () => {
  const task = await loadTask('ant');
  const physics = await Physics.create(task);
  const [previous, next] = [physics.snapshot(), physics.snapshot()];
  const observation = new Float32Array(27);
  observation.set([0.5, 1]);
  observation[13] = 2;
  physics.recall(observation, previous);
  observation[13] = 3;
  physics.recall(observation, next);
  assert.ok(Number.isNaN(next.body('torso')[0]) && Number.isNaN(next.centreOfMass[0]));
  const action = new Array(8).fill(0.5);
  assert.equal(task.reward({ previous, next, action, dt: 0.05 }), 2.5 + 1 - 0.5 * 8 * 0.25);
  physics.dispose();
});

test("a task of one's own is loaded as its file is now, with another digest for each of its files", async () => {
  const path = taskFile();
  const first = await loadTask(path);
  assert.equal((await loadTask(path)).digest, first.digest);
  const digests = new Set([first.digest]);
  const other = join(folder, 'other.xml');
  writeFileSync(other, MJCF);
  const mesh = join(folder, 'meshes', 'foot.obj');
  for (const [file, text] of [
    [path, readFileSync(path, 'utf8').replace("'leg.xml'", "'other.xml'").replace('100', '50')],
    [other, MJCF.replace('0.005', '0.004')],
    [mesh, readFileSync(mesh, 'utf8').replace('v 1 0 0', 'v 2 0 0')],
  ]) {
    writeFileSync(file, text);
    digests.add((await loadTask(path)).digest);
  }
  assert.equal(digests.size, 4);
  const { maxEpisodeSteps, timestep } = await loadTask(path);
  assert.deepEqual([maxEpisodeSteps, timestep], [50, 0.004]);
  assert.equal((await loadTask('hopper')).digest, undefined);
});

test('what a task throws later says which of its functions, file and line', async () => {
  const path = taskFile({
    reward: '({ next, action }) => {\n    if (action[0] > 0.2) next.velocity("ankle");\n    return 0;\n  }',
    terminated: '(observation) => {\n    if (observation[0] > 0.5) missing();\n    return false;\n  }',
  });
  const lines = readFileSync(path, 'utf8').split('\n');
  const lineOf = (text: string) => lines.findIndex((line) => line.includes(text)) + 1;
  const world = await World.create(await loadTask(path));
  world.step([0.1]);
  const ankle = `task 'leg': reward throws at ${path}:${lineOf('ankle')}: there is no joint 'ankle' in the MJCF`;
  assert.throws(() => world.step([0.3]), { name: 'FarsightError', message: ankle });
  world.setState({ qpos: [0, 0, 0, 1, 0, 0, 0, 0.4, 0], qvel: new Array(8).fill(0) });
  const missing = `task 'leg': terminated throws at ${path}:${lineOf('missing')}: missing is not defined`;
  assert.throws(() => world.step([0]), { name: 'FarsightError', message: missing });
  world.dispose();
});

test('a task that is not right is refused with the field at fault', async () => {
  const cases: [Record<string, string>, RegExp][] = [
    [{ frameSkip: '0' }, /field 'frameSkip'/],
    [{ reward: '1' }, /field 'reward': must be a function/],
    [{ rewards: '1' }, /rewards/],
    [{ mjcf: "'arm.xml'" }, /MJCF '.*arm.xml' cannot be read/],
    [{ mjcf: "'<mujoco><leg/></mujoco>'" }, /bad MJCF: .*unrecognized element/],
    [{ observation: "[{ kind: 'jointPosition', joint: 'hip' }]" }, /no joint 'hip'.* names root, knee, toe/],
    [{ observation: "[{ kind: 'jointPosition', joint: 'root' }]" }, /'root' is a free or ball joint/],
    [
      { observation: "[{ kind: 'jointVelocity', joint: 'root.qw' }]" },
      /no 'jointVelocity root.qw' of a free joint/,
    ],
    [{ observation: "[{ kind: 'jointPosition', joint: 'knee.x' }]" }, /no joint 'knee.x' in the MJCF/],
    [{ reward: "({ next }) => next.body('hip')[0]" }, /reward throws .*no body 'hip'/],
    [{ action: "[{ kind: 'position', joint: 'toe', limits: [-1, 1] }]" }, /'toe' has 0 actuators/],
    [{ action: "[{ kind: 'position', joint: 'knee', limits: [-2, 1] }]" }, /leave its actuator's ctrlrange/],
    [{ reward: '() => NaN' }, /reward must return a finite number, it returns NaN/],
    [{ reward: "({ next }) => next.position('hip')" }, /reward throws .*no joint 'hip'/],
    [
      { safety: "{ joints: [{ joint: 'hip', velocity: 1 }] }" },
      /safety limits for joint 'hip', which no observation or action term names; there are: knee, toe/,
    ],
    [
      { safety: "{ joints: [{ joint: 'knee' }, { joint: 'knee', velocity: 1 }] }" },
      /safety limits for joint 'knee' stand there twice/,
    ],
    [
      { safety: "{ bounds: [{ term: 'jointPosition toe', range: [0, 1] }] }" },
      /safety bounds for 'jointPosition toe', which is no observation term; there are: jointPosition knee, /,
    ],
    [
      {
        safety:
          "{ joints: [{ joint: 'knee', position: [-1, 0] }], bounds: [{ term: 'jointPosition knee', range: [0.5, 1] }] }",
      },
      /bounds for 'jointPosition knee' \[0\.5, 1\] and the position limits of its joint \[-1, 0\] have nothing/,
    ],
    [
      { safety: "{ joints: [{ joint: 'knee', position: [0.6, 1] }] }" },
      /the limits of action 'knee' \[-0\.5, 0\.5\] and its joint's safety limits have nothing in common/,
    ],
    [
      { safety: "{ joints: [{ joint: 'knee', position: [0.2, 1] }] }" },
      /joint 'knee' starts at 0, outside its safety limits \[0\.2, 1\]/,
    ],
    [{ terminated: '() => 0' }, /terminated must return true or false, it returns 0/],
  ];
  for (const [change, message] of cases) {
    await assert.rejects(loadTask(taskFile(change)), (error: Error) => {
      assert.ok(error instanceof FarsightError, String(error));
      assert.match(error.message, message);
      return true;
    });
  }
  const pendulum = new URL('../../trainer/sim/tasks/inverted-pendulum.js', import.meta.url).href;
  const slow = join(folder, 'slow.mjs');
  const safety = "{ joints: [{ joint: 'slider', commandRate: 1, stop: 'limited' }] }";
  writeFileSync(slow, `import task from '${pendulum}'; export default { ...task, safety: ${safety} };`);
  await assert.rejects(
    loadTask(slow),
    /slow.mjs': a stop takes joint 'slider' 3.0 s .* raise its commandRate/,
  );
  await assert.rejects(loadTask('hoper'), /unknown task 'hoper': choose one of inverted-pendulum/);
  await assert.rejects(loadTask(join(folder, 'none.mjs')), /no such file/);
});
