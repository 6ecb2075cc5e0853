// Whether this process has its terminal for itself: one in a shell's background is stopped by the system when it takes it.
import { readFileSync } from 'node:fs';

/** True where that cannot be known. */
export function isForeground(): boolean {
  let stat: string;
  try {
    stat = readFileSync('/proc/self/stat', 'utf8');
  } catch {
    return true;
  }
  // Behind the name, which may hold anything: state, parent, group, session, terminal, the terminal's group.
  const [, , group, , , owner] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return group === owner;
}
