// A process that doctor starts twice: a ROS 2 node that says 'up' when it stands and 'found' when it sees the other's
// topic, and ends with its standard input.
import { RosNode } from '../../controller/ros/rcl/rcl.js';

const LOOK_MS = 20;
/** Its own and the other's. */
const BOTH = 2;

const topic = process.argv[2];
const qos = { reliability: 'reliable', durability: 'volatile', depth: 1 } as const;
const node = new RosNode({ name: `farsight_doctor_${process.pid}` });
node.publisher(topic, 'std_msgs/msg/Bool', qos);
const subscription = node.subscription(topic, 'std_msgs/msg/Bool', qos);
console.log('up');
const looking = setInterval(() => {
  if (subscription.matched < BOTH) return;
  console.log('found');
  clearInterval(looking);
}, LOOK_MS);
process.stdin.resume().once('end', () => {
  clearInterval(looking);
  node.release();
});
