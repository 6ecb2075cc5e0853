// The management process: the controller's ROS 2 node in a process of its own, so that nothing that befalls it, or
// rclnodejs, can touch the command stream. Started by startManagement.ts, which it serves until told to stop.
import { messageOf } from '../../../contract/errors.js';
import { ControlLink } from './controlLink.js';
import type { StartMessage } from './messages.js';
import { ManagementNode, MESSAGE_PACKAGES } from './node.js';
import { loadRclnodejs, type Rclnodejs } from './rclnodejs.js';

let rcl: Rclnodejs | undefined;
let management: ManagementNode | undefined;

const link = new ControlLink((message) => {
  if (message.kind === 'start') void start(message);
  else if (message.kind === 'state') management?.hear(message.state);
  else if (message.kind === 'event') management?.say(message.level, message.text);
  else end();
});
// The control process decides when this one ends; a terminal's Ctrl-C reaches both.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => {});
process.on('disconnect', end);
process.on('unhandledRejection', (error) => process.stderr.write(`management: ${messageOf(error)}\n`));

async function start(message: StartMessage): Promise<void> {
  try {
    rcl = await loadRclnodejs(MESSAGE_PACKAGES);
    await rcl.init(undefined, message.rosArguments);
    rcl.removeSignalHandlers();
    management = new ManagementNode(rcl, link, message);
    management.spin();
    link.beginHeartbeat();
    link.tell({ kind: 'ready', node: management.node.getFullyQualifiedName() });
  } catch (error) {
    process.send!({ kind: 'unable', reason: messageOf(error) }, () => process.exit(1));
  }
}

/** Takes leave of the other nodes. */
function end(): void {
  try {
    if (management) rcl?.shutdown();
  } finally {
    process.exit(0);
  }
}
