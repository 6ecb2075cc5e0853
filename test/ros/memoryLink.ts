// The loop's ROS link on topics in memory and a clock that stands still until a test moves it.
import { loopWords } from '../../contract/loop.js';
import { SENSOR } from '../../contract/robot.js';
import type { TaskInterface } from '../../contract/terms.js';
import { linkCounters } from '../../controller/ros/link/linkState.js';
import { type RobotMap, robotMapSchema } from '../../controller/ros/link/robotMap.js';
import { rosLink } from '../../controller/ros/link/rosLink.js';
import type { MessageClock } from '../../controller/ros/rcl/rosClock.js';
import { serialize } from './definitions.js';
import { legTask, MemoryInbox, MemoryOutbox } from './memoryTopics.js';

/** A clock that stands still until it is moved; its system time is 1000 s ahead. */
class StandingClock implements MessageClock {
  readonly times = new Float64Array(2);
  readonly stamp = new Int32Array(2);
  steps = 0;
  constructor(now: number) {
    this.move(now);
  }
  read(): void {}
  move(now: number, ahead = 1000): void {
    this.times.set([now, ahead]);
    this.stamp.set([Math.floor(now + ahead), Math.round(((now + ahead) % 1) * 1e9)]);
  }
}

export function setUp(change: object = {}, task: TaskInterface = legTask) {
  const map: RobotMap = robotMapSchema.parse({
    sensors: [{ topic: 'joint_states', type: 'sensor_msgs/JointState', joints: ['hip', 'knee'] }],
    commands: [{ topic: 'commands', type: 'std_msgs/Float64MultiArray', joints: ['knee', 'hip'] }],
    ...change,
  });
  const clock = new StandingClock(50);
  const words = loopWords(0);
  const counters = linkCounters(map);
  const inboxes = map.sensors.map(() => new MemoryInbox());
  const outboxes = map.commands.map(() => new MemoryOutbox());
  const episodes = { resets: new MemoryInbox(), terminations: new MemoryInbox() };
  const topics = { sensors: inboxes, commands: outboxes, episodes };
  const link = rosLink({ task, map, topics, rateHz: 500, words, counters, clock });
  const [inbox] = inboxes;
  const [outbox] = outboxes;
  const send = (time: number, message: object = {}, publisher = 1) =>
    inbox.put(state(time, message), publisher);
  return { map, link, clock, words, counters, inboxes, inbox, outbox, outboxes, episodes, send };
}
export const stampOf = (time: number) => ({ sec: Math.floor(time), nanosec: Math.round((time % 1) * 1e9) });
export const state = (time: number, message: object = {}) =>
  serialize('JointState', {
    header: { stamp: stampOf(time), frame_id: '' },
    name: ['hip', 'knee'],
    position: [0.5, -1],
    velocity: [2, 3],
    effort: [],
    ...message,
  });
export const vectors = (cell: Float64Array) => [...cell.subarray(SENSOR.vectors)];
