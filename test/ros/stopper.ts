// Who can stop a robot by a topic, in a process of its own: a reliable button, a best-effort one, and a watchdog beside them.

import { boolMessage } from '../../controller/ros/link/writeMessages.js';
import { RosNode } from '../../controller/ros/rcl/rcl.js';

export type Button = 'reliable' | 'bestEffort';
export type StopperOrder =
  /** `true`, and for a button that is not held `false` right after it. */
  | { press: Button; held: boolean }
  | { release: Button }
  /** Whether the watchdog says `false`, a hundred times a second. */
  | { watchdog: boolean }
  /** As a second terminal: a node that says `true` once, and leaves when it has been heard. */
  | { passer: true };

const TOPIC = process.argv[2];
const WATCHDOG_MS = 10;
const qos = (reliability: Button) => ({ reliability, durability: 'volatile', depth: 10 }) as const;
const node = new RosNode({ name: `stopper${process.pid}` });
const publisher = (reliability: Button) => node.publisher(TOPIC, 'std_msgs/msg/Bool', qos(reliability));
const buttons = { reliable: publisher('reliable'), bestEffort: publisher('bestEffort') };
const watchdog = publisher('reliable');
const [no, yes] = [boolMessage(false).bytes, boolMessage(true).bytes];

let watches = true;
setInterval(() => watches && watchdog.publish(no), WATCHDOG_MS);

async function pass(): Promise<void> {
  const passer = new RosNode({ name: `passer${process.pid}` });
  const once = passer.publisher(TOPIC, 'std_msgs/msg/Bool', qos('reliable'));
  while (once.matched === 0) await new Promise((resolve) => setTimeout(resolve, 2));
  tell();
  once.publish(yes);
  // Fast DDS may take three seconds to repeat it to a reader that met the writer after the message.
  do await new Promise((resolve) => setTimeout(resolve, 20));
  while (!once.acknowledged(0));
  passer.release();
}

/** The moment, ms since 1970. */
const tell = () => process.send!(performance.timeOrigin + performance.now());

process.on('message', (order: StopperOrder) => {
  if ('passer' in order) {
    void pass();
    return;
  }
  tell();
  if ('watchdog' in order) watches = order.watchdog;
  else if ('release' in order) buttons[order.release].publish(no);
  else {
    buttons[order.press].publish(yes);
    if (!order.held) buttons[order.press].publish(no);
  }
});
process.on('disconnect', () => process.exit());
process.send!('ready');
