// ROS 2's own arguments on our command line: everything from --ros-args to -- or the end, passed on as it is.

/** `argv` with the ROS arguments folded into one `--ros-args=[…]`, which an option with `parseRosArguments` takes. */
export function foldRosArguments(argv: readonly string[]): string[] {
  const start = argv.indexOf('--ros-args');
  if (start < 0) return [...argv];
  const closing = argv.indexOf('--', start);
  const end = closing < 0 ? argv.length : closing;
  const folded = `--ros-args=${JSON.stringify(argv.slice(start, end))}`;
  return [...argv.slice(0, start), folded, ...foldRosArguments(argv.slice(closing < 0 ? end : end + 1))];
}

/** The folded arguments, after those of an earlier `--ros-args`. */
export function parseRosArguments(folded: string, before: readonly string[] = []): string[] {
  return [...before, ...JSON.parse(folded)];
}
