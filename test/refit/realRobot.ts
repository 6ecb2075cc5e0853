// A robot that differs from its simulation, and recordings of it made by the real recorder from rows of a loop's trace.
import { FLAG, MODES, ROW, rowLayout } from '../../contract/loop.js';
import type { PolicyFile } from '../../contract/policyFile.js';
import { TraceRing } from '../../contract/sharedMemory.js';
import { type RecordingResult, startRecorder } from '../../controller/recorder.js';
import { Random } from '../../trainer/random.js';
import type { Task } from '../../trainer/sim/task.js';
import { World } from '../../trainer/sim/world.js';

/** The inverted pendulum as it was built: three times as heavy a pole on a cart with ten times the friction. */
export function builtRobot(task: Task): Task {
  const xml = task.mjcf.xml
    .replace('name="slider" type="slide"', 'name="slider" type="slide" damping="10"')
    .replace('<geom name="pole"', '<geom name="pole" density="3000"');
  return { ...task, mjcf: { ...task.mjcf, xml } };
}

/** Records `steps` control steps of `robot` with actions of `act`; after an episode's end the robot is put back. */
export async function record(
  directory: string,
  policy: PolicyFile,
  robot: Task,
  steps: number,
  act: (observation: Float32Array, random: Random) => ArrayLike<number> | Promise<ArrayLike<number>>,
): Promise<RecordingResult> {
  const layout = rowLayout(robot.observation.length, robot.action.length);
  const trace = new TraceRing(layout.length, steps + 64);
  const recorder = await startRecorder({ directory, policy, rateHz: robot.controlRate, trace });
  const world = await World.create(robot);
  const random = new Random(7);
  let observation = world.reset(random);
  let flags = 0;
  for (let tick = 0; tick < steps; tick++) {
    const command = await act(observation, random);
    const { rows, offset } = trace;
    rows[offset + ROW.tick] = tick;
    rows[offset + ROW.scheduled] = 1e3 + tick / robot.controlRate;
    rows[offset + ROW.sensorStamp] = 1e3 + tick / robot.controlRate;
    rows[offset + ROW.mode] = MODES.indexOf('policy');
    rows[offset + ROW.flags] = FLAG.policyStep | flags;
    rows.set(observation, offset + layout.observation);
    rows.set(Array.from(command), offset + layout.command);
    trace.push();
    const over = (flags & FLAG.terminal) !== 0;
    const next = world.step(command);
    observation = over ? world.reset(random) : next.observation;
    flags = over ? FLAG.reset : next.terminated ? FLAG.terminal : 0;
  }
  world.dispose();
  return recorder.stop();
}
