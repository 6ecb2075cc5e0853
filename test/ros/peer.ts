// A robot in a process of its own, told by its parent what to send: good states, or whatever a clumsy peer might.

import { Float64MultiArrayDecoder } from '../../controller/ros/link/readMessages.js';
import { jointState, setFloat64, setStamp } from '../../controller/ros/link/writeMessages.js';
import { RosNode } from '../../controller/ros/rcl/rcl.js';

/** What is published from now on, each so many times a second. */
export interface PeerOrder {
  rates: Partial<Record<keyof typeof KINDS, number>>;
}
/** What the peer tells ten times a second. */
export interface PeerReport {
  commands: number;
  last: number[];
}

const QOS = { reliability: 'reliable', durability: 'volatile', depth: 10 } as const;
const node = new RosNode({ name: `peer${process.pid}` });
const states = node.publisher('joint_states', 'sensor_msgs/msg/JointState', QOS);
const commands = node.subscription('commands', 'std_msgs/msg/Float64MultiArray', QOS);
const decoder = new Float64MultiArrayDecoder(2);

let sent = 0;
function state(names: string[], stamp: number, first: number): Uint8Array {
  const message = jointState(names, ['position', 'velocity']);
  const seconds = Math.floor(stamp / 1000);
  setStamp(message, seconds, Math.round((stamp - 1000 * seconds) * 1e6));
  names.forEach((name, i) => {
    setFloat64(message, message.position, i, name === 'hip' ? first : -1);
    setFloat64(message, message.velocity, i, name === 'hip' ? 2 : 3);
  });
  return message.bytes;
}
// performance.now() resolves microseconds, so that no two stamps are the same.
const now = () => performance.timeOrigin + performance.now();
const big = state(
  Array.from({ length: 30_000 }, (_, i) => `joint${i}`),
  now(),
  0,
);
const KINDS = {
  good: () => state(['hip', 'knee'], now(), sent),
  permuted: () => state(['arm', 'knee', 'hip'], now(), sent),
  misnamed: () => state(['wrist', 'elbow'], now(), sent),
  nan: () => state(['hip', 'knee'], now(), Number.NaN),
  rival: () => state(['hinge'], now() - 60_000, sent),
  past: () => state(['hip', 'knee'], now() - 60_000, sent),
  garbage: () =>
    Uint8Array.from({ length: 64 + (sent % 64) }, (_, i) => (i < 4 ? i & 1 : (sent * 31 + i * 17) & 255)),
  big: () => big,
};

let order: PeerOrder = { rates: {} };
const due: Record<string, number> = {};
process.on('message', (message) => {
  order = message as PeerOrder;
});
process.on('disconnect', () => process.exit());
const report: PeerReport = { commands: 0, last: [] };
setInterval(() => {
  for (const [kind, rate] of Object.entries(order.rates)) {
    const period = 1000 / rate;
    due[kind] = Math.max(due[kind] ?? 0, now() - 100);
    for (; due[kind] <= now(); due[kind] += period) {
      sent++;
      states.publish(KINDS[kind as keyof typeof KINDS]());
    }
  }
  for (let length = commands.take(); length > 0; length = commands.take()) {
    if (decoder.decode(commands.view, length) !== 0) continue;
    report.commands++;
    report.last = [...decoder.values];
  }
}, 1);
setInterval(() => process.send?.(report), 100);
