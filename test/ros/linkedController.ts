// The loop's link on a real ROS 2 without its loop, and a robot in a process of its own.
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { loopWords } from '../../contract/loop.js';
import { linkCounters, sensorStates } from '../../controller/ros/link/linkState.js';
import { openTopics } from '../../controller/ros/link/openTopics.js';
import { type RobotMap, robotMapSchema } from '../../controller/ros/link/robotMap.js';
import { rosLink } from '../../controller/ros/link/rosLink.js';
import { RosNode } from '../../controller/ros/rcl/rcl.js';
import { MONOTONIC, RosClock } from '../../controller/ros/rcl/rosClock.js';
import { legTask } from './memoryTopics.js';
import type { PeerOrder, PeerReport } from './peer.js';

export const map = robotMapSchema.parse({
  sensors: [{ topic: 'joint_states', type: 'sensor_msgs/JointState', joints: ['hip', 'knee'] }],
  commands: [{ topic: 'commands', type: 'std_msgs/Float64MultiArray', joints: ['knee', 'hip'] }],
});

export class Peer {
  report: PeerReport = { commands: 0, last: [] };
  readonly #process: ChildProcess = fork(fileURLToPath(new URL('./peer.js', import.meta.url)));
  constructor(rates: PeerOrder['rates']) {
    this.#process.on('message', (report) => {
      this.report = report as PeerReport;
    });
    this.#process.once('exit', (code, signal) => {
      if (signal !== 'SIGKILL') throw new Error(`the peer ended by itself: code ${code}, signal ${signal}`);
    });
    this.send(rates);
  }
  send(rates: PeerOrder['rates']): void {
    this.#process.send({ rates } satisfies PeerOrder);
  }
  async kill(): Promise<void> {
    this.#process.kill('SIGKILL');
    await once(this.#process, 'exit');
  }
}

export function open(opened: RobotMap = map) {
  const node = new RosNode({ name: 'controller' });
  const words = loopWords(0);
  const counters = linkCounters(opened);
  const clock = new RosClock();
  const parts = { task: legTask, map: opened, rateHz: 500, words, counters, clock };
  const link = rosLink({ ...parts, topics: openTopics(node, opened, parts.rateHz) });
  const state = () => sensorStates(opened, counters, clock.times[MONOTONIC])[0];
  return { node, parts, link, state };
}

/** Ticks the link, as a loop would, until `done`. */
export async function until(
  { link }: ReturnType<typeof open>,
  what: string,
  done: (cell: Float64Array) => boolean,
) {
  // A discovery message that was lost is sent again after 30 s.
  const limit = Date.now() + 40_000;
  for (let i = 0; Date.now() < limit; i++) {
    const cell = link.sensors.read();
    link.commands.writable.set([0, 0, 0.5, i]);
    link.commands.publish();
    if (done(cell)) return;
    await sleep(1);
  }
  throw new Error(`never: ${what}`);
}
