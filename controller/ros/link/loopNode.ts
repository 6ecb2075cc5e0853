// The node of the loop's own thread, beside the management process's: another name, and the ROS arguments that mean the other.
import { QOS_PREFIX, type QosOverrides } from '../rcl/qosOverrides.js';
import type { RosNodeOptions } from '../rcl/rcl.js';
import { onBehalfOf } from '../rcl/topicNames.js';

/** A remapping rule of ROS: the node that it is for, if not all, its scheme, what it matches and what that becomes. */
const RULE = /^(?:([A-Za-z_]\w*):(?!=|\/\/))?(rostopic:\/\/|rosservice:\/\/)?(.+?):=(.+)$/;
const RENAMES = ['__node', '__name'];

/**
 * The node that reads and writes the robot's topics: `<node>_loop`, where `node` is the controller's name, or what the
 * ROS arguments rename it to. People know that name alone, so rules for it are made to hold for this node, and `~` in
 * them stays what it is there. The renaming itself is left out, or both nodes would bear one name. Of `parameters` those
 * that override the QoS of topics count.
 */
export function loopNode(
  node: string,
  rosArguments: readonly string[],
  parameters: QosOverrides = {},
): RosNodeOptions {
  const isFlag = (i: number) => rosArguments[i] === '-r' || rosArguments[i] === '--remap';
  const renamed = rosArguments.flatMap((text, i) => (isFlag(i - 1) && renamingOf(node, text)) || []);
  const name = renamed[0] ?? node;
  const kept = rosArguments.flatMap((text, i) => {
    if (isFlag(i) && renamingOf(node, rosArguments[i + 1] ?? '')) return [];
    if (!isFlag(i - 1)) return [text];
    return renamingOf(node, text) ? [] : [ruleFor(name, text)];
  });
  const overrides = Object.entries(parameters).filter(([parameter]) => parameter.startsWith(QOS_PREFIX));
  return {
    name: `${name}_loop`,
    onBehalfOf: name,
    arguments: kept,
    qosOverrides: Object.fromEntries(overrides),
  };
}

/** What a rule renames `node` to; undefined when it does not. */
function renamingOf(node: string, text: string): string | undefined {
  const [, whose = node, , match, replacement] = RULE.exec(text) ?? [];
  return whose === node && RENAMES.includes(match) ? replacement : undefined;
}

/** A rule as it must be for a node of another name that stands for `name`. */
function ruleFor(name: string, text: string): string {
  const rule = RULE.exec(text);
  if (!rule) return text;
  const [, whose, scheme = '', match, replacement] = rule;
  if (whose !== undefined && whose !== name) return text;
  return `${scheme}${onBehalfOf(name, match)}:=${onBehalfOf(name, replacement)}`;
}

/** The node that listens for emergency stops, `<node>_stop`, and stands for the same. */
export function stopNode(node: string, rosArguments: readonly string[]): RosNodeOptions {
  const loop = loopNode(node, rosArguments);
  return { ...loop, name: `${loop.onBehalfOf}_stop` };
}
