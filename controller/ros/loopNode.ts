// The node of the loop's own thread, beside the management process's: the same ROS arguments, another name.
import type { RosNodeOptions } from './rcl.js';

const RENAME = /^(?:\w+:)?__(?:node|name):=(.+)$/;

/**
 * The node that reads and writes the robot's topics: `<node>_loop`, where `node` is the controller's name, or what the
 * ROS arguments rename it to. That renaming is left out of what it gets, or both nodes would bear one name.
 */
export function loopNode(node: string, rosArguments: readonly string[]): RosNodeOptions {
  const kept: string[] = [];
  let name = node;
  for (let i = 0; i < rosArguments.length; i++) {
    const isRemap = rosArguments[i] === '-r' || rosArguments[i] === '--remap';
    const renamed = isRemap ? RENAME.exec(rosArguments[i + 1] ?? '') : null;
    if (renamed) {
      name = renamed[1];
      i++;
    } else kept.push(rosArguments[i]);
  }
  return { name: `${name}_loop`, arguments: kept };
}

/** The node that listens for emergency stops, `<node>_stop`, and the name of its service: `<node>/emergency_stop`. */
export function stopNode(
  node: string,
  rosArguments: readonly string[],
): { node: RosNodeOptions; service: string } {
  const { name, arguments: given } = loopNode(node, rosArguments);
  const own = name.replace(/_loop$/, '');
  return { node: { name: `${own}_stop`, arguments: given }, service: `${own}/emergency_stop` };
}
