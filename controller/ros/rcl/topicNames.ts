// Names of topics as people write them: what ROS does not allow, and whose `~` is meant.

/** As rmw has it, less what the middleware puts before a name. */
const LONGEST = 247;
const SUBSTITUTIONS = ['node', 'ns', 'namespace'];

/** Why ROS does not take a topic of this name, by the rules of rcl and of ROS's page on names; undefined when it does. */
export function topicNameProblem(name: string): string | undefined {
  if (name === '') return 'it is empty';
  const other = /[^A-Za-z0-9_~/{}]/.exec(name.replaceAll(/\{[^{}]*\}/g, ''));
  if (other) return `'${other[0]}' is not a letter, a digit, '_' or '/'`;
  if (name.endsWith('/')) return "it ends with '/'";
  if (name.includes('//')) return "it has '//' in it";
  if (name.includes('__')) return "it has '__' in it";
  if (name.includes('~', 1) || /^~[^/]/.test(name)) return "'~' is only for its beginning, before '/'";
  if (/(^|\/)[0-9]/.test(name)) return "a digit begins it, or follows '/'";
  const unknown = [...name.matchAll(/\{([^{}]*)\}/g)].find(([, inside]) => !SUBSTITUTIONS.includes(inside));
  if (unknown) return `${unknown[0]} is none of {node}, {ns} and {namespace}`;
  if (/[{}]/.test(name.replaceAll(/\{[^{}]*\}/g, ''))) return "'{' and '}' do not match";
  return name.length > LONGEST ? `it is longer than ${LONGEST} characters` : undefined;
}

/** The same name where the node is another: `~` and `{node}` are replaced by `node`, relative to its namespace. */
export function onBehalfOf(node: string, name: string): string {
  return name.replace(/^~(?=\/|$)/, node).replaceAll('{node}', node);
}
