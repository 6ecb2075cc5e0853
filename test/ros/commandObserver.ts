// Watches a controller's command stream from a process of its own: every message is looked at, and none may be outside the limits.

import { DECODED, Float64MultiArrayDecoder } from '../../controller/ros/link/readMessages.js';
import { RosNode } from '../../controller/ros/rcl/rcl.js';

/** What was seen until now. Times are ms since 1970. */
export interface Observed {
  messages: number;
  /** The first that were wrong, and how. */
  wrong: string[];
  /** When a command last was not 0; 0 before the first. */
  movedAt: number;
  newest: number;
  /** ms between two messages, since the last time that this was asked for. */
  longestGap: number;
}

/** RMW_MESSAGE_INFO_SEQUENCE_NUMBER_UNSUPPORTED, rmw/types.h. */
const UNNUMBERED = 2n ** 64n - 1n;
/** Largest command, and largest change from one message to the next. */
const [largest, step] = process.argv.slice(2).map(Number);
const commands = new RosNode({ name: 'observer' }).subscription(
  'forward_command_controller/commands',
  'std_msgs/msg/Float64MultiArray',
  { reliability: 'reliable', durability: 'volatile', depth: 1000 },
);
const decoder = new Float64MultiArrayDecoder(1);
const seen: Observed = { messages: 0, wrong: [], movedAt: 0, newest: 0, longestGap: 0 };
const now = () => performance.timeOrigin + performance.now();
let heardAt = now();
let number = 0n;

setInterval(() => {
  for (let length = commands.take(); length > 0; length = commands.take()) {
    const gap = now() - heardAt;
    seen.longestGap = Math.max(seen.longestGap, gap);
    heardAt = now();
    seen.messages++;
    const result = decoder.decode(commands.view, length);
    const [value] = decoder.values;
    const complain = (what: string) => {
      if (seen.wrong.length < 10) seen.wrong.push(`message ${seen.messages}: ${what}`);
    };
    if (result !== 0) {
      complain(DECODED[result]);
      continue;
    }
    if (!(Math.abs(value) <= largest)) complain(`${value} is beyond ${largest}`);
    const change = Math.abs(value - seen.newest);
    // Fast DDS loses some on a busy machine, and the first of a publisher that it finds late: only neighbours are judged.
    const before = number;
    number = commands.sequence[0];
    const neighbours = [before + 1n, 1n, UNNUMBERED].includes(number);
    // A stop takes an effort to 0 at once.
    if (neighbours && value !== 0 && !(change <= step * (1 + 1e-9)) && seen.messages > 1)
      complain(`${value} after ${seen.newest}, numbers ${before} and ${number}, ${gap.toFixed(1)} ms apart`);
    if (value !== 0) seen.movedAt = now();
    seen.newest = value;
  }
}, 1);
process.on('message', () => {
  process.send!(seen);
  seen.longestGap = 0;
});
process.on('disconnect', () => process.exit());
