// A robot that differs from its simulation, driven at simulated time by the loop of the robot's own computer: what it
// earns, and its recording by the real recorder.
import { setImmediate } from 'node:timers/promises';
import { rowLayout } from '../../contract/loop.js';
import type { PolicyFile } from '../../contract/policyFile.js';
import { TraceRing } from '../../contract/sharedMemory.js';
import { Policy } from '../../controller/policy.js';
import { type Recorder, type RecordingResult, startRecorder } from '../../controller/recorder.js';
import { RobotLoop } from '../../launch/play/robotLoop.js';
import { LONGEST_STEP, RobotBody } from '../../launch/robot/body.js';
import { changeFaults, HEALTHY } from '../../launch/robot/faults.js';
import { Random } from '../../trainer/random.js';
import type { Task } from '../../trainer/sim/task.js';

export interface Drive {
  task: Task;
  policy: PolicyFile;
  /** As `farsight robot --set` takes them. */
  faults: readonly string[];
  /** Factor on the damping of this joint, beside them. */
  damping?: { joint: string; factor: number };
  seed: number;
  /** Whole episodes, the last of which may begin before and end after so many steps of the policy. */
  steps: number;
  /** Standard deviation of a kick to every velocity (rad/s, m/s), once a second. */
  kick?: number;
  /** Standard deviation of noise on the policy's actions, as a share of half their range. */
  noise?: number;
  /** Directory to record to. */
  record?: string;
}

/** Ticks between two turns of the event loop. */
const TURN = 4096;

/** Returns of whole episodes, by the task's own reward; a fault of the loop ends one, too. */
export async function driveRobot(drive: Drive): Promise<{ returns: number[]; recording?: RecordingResult }> {
  const { task, policy, seed, kick = 0, noise = 0 } = drive;
  const { manifest } = policy;
  const timestep = task.timestep / Math.ceil(task.timestep / LONGEST_STEP - 1e-9);
  const policyEvery = Math.round(1 / (task.controlRate * timestep));
  const body = await RobotBody.create(task, timestep, seed, 0);
  body.setFaults(changeFaults(HEALTHY, drive.faults, body.joints));
  if (drive.damping) dampMore(body, drive.damping);
  const network = new Policy('driven', policy.bytes, manifest);
  const random = new Random(seed ^ 0x1234);
  const { length } = rowLayout(manifest.observation.length, manifest.action.length);
  // The recorder's thread may be slow: the ring holds the whole drive, with its new starts.
  const trace = new TraceRing(
    length,
    drive.record === undefined ? 16 : 2 * policyEvery * (drive.steps + task.maxEpisodeSteps),
  );
  const noisy = {
    observation: network.observation,
    action: network.action,
    run: () => {
      network.run();
      for (const [i, { limits }] of manifest.action.entries())
        network.action[i] += (noise * random.normal() * (limits[1] - limits[0])) / 2;
    },
  };
  // A stamp of 0 is none yet.
  let now = 1;
  const loop = new RobotLoop({ manifest, body, policyEvery, policy: noisy, now, trace });
  let recorder: Recorder | undefined;
  if (drive.record !== undefined)
    recorder = await startRecorder({ directory: drive.record, policy, rateHz: 1 / timestep, trace });
  const { physics } = body;
  let [previous, next] = [physics.snapshot(), physics.snapshot()];
  const returns: number[] = [];
  let sum = 0;
  let [ticks, stepsDone, episodeTicks] = [0, 0, 0];
  const second = Math.round(1 / timestep);
  const perTick = 1 / policyEvery;
  while (stepsDone < drive.steps || episodeTicks > 0) {
    now += timestep;
    if (loop.mode === 'fault' || loop.mode === 'damping') loop.rearm();
    const command = loop.tick(now);
    const held = !Number.isNaN(body.heldSince);
    if (held && command.releases) physics.capture(previous);
    body.step(now, command);
    if (Number.isNaN(body.heldSince)) {
      episodeTicks++;
      if (kick > 0 && episodeTicks % second === 0) {
        const velocities: Float64Array = physics.parts.data.qvel;
        for (let i = 0; i < velocities.length; i++) velocities[i] += kick * random.normal();
      }
      const over = physics.ended() || loop.mode === 'fault' || loop.mode === 'damping';
      if (episodeTicks % policyEvery === 0 || over) {
        physics.capture(next);
        sum += task.reward({ previous, next, action: command.values, dt: 1 / task.controlRate });
        [previous, next] = [next, previous];
      }
      if (over || episodeTicks === policyEvery * task.maxEpisodeSteps) {
        returns.push(sum);
        // The end is to be in the recording before the new start.
        for (let i = 0; i < policyEvery; i++) {
          now += timestep;
          body.step(now, loop.tick(now));
        }
        stepsDone += episodeTicks * perTick;
        [sum, episodeTicks] = [0, 0];
        body.reset(now);
      }
    }
    if (++ticks % TURN === 0) await setImmediate();
  }
  const recording = await recorder?.stop();
  if (recording && recording.lost > 0) throw new Error(`${recording.lost} rows were lost`);
  network.release();
  body.dispose();
  return { returns, ...(recording && { recording }) };
}

function dampMore(body: RobotBody, { joint, factor }: { joint: string; factor: number }): void {
  const { mujoco, model } = body.physics.parts;
  const id = mujoco.mj_name2id(model, mujoco.mjtObj.mjOBJ_JOINT.value, joint);
  body.physics.alter((changed) => {
    changed.dof_damping[changed.jnt_dofadr[id]] *= factor;
  });
}
