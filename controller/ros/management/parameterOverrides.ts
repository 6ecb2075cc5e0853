// What ROS arguments and parameter files say for the node, section by section.
import type { RosNode, RosParameter } from './rclnodejs.js';

/**
 * What ROS arguments and parameter files say for this node, from the most general section to its full name. rclnodejs
 * (2.2.0) looks for `/**` and the bare name alone, and would pass over a section with a namespace in silence.
 */
export function overridesOf(node: RosNode): RosParameter[] {
  const own = node.name();
  const full = node.getFullyQualifiedName();
  const namespace = full.slice(0, -own.length - 1);
  const oneLevel = namespace.lastIndexOf('/') === 0 ? [`/*/${own}`] : [];
  const inSection = (section: string) => {
    const name = node.name;
    node.name = () => section;
    try {
      return node._getNativeParameterOverrides();
    } finally {
      node.name = name;
    }
  };
  const general = inSection('');
  const found = new Map(general);
  for (const section of [
    `/**/${own}`,
    ...oneLevel,
    `${namespace}/**`,
    `${namespace}/*`,
    own,
    full.slice(1),
    full,
  ]) {
    for (const [name, parameter] of inSection(section)) {
      if (parameter.value !== general.get(name)?.value) found.set(name, parameter);
    }
  }
  return [...found.values()];
}
