// One line of farsight doctor: what was looked at, how it is, and how to mend it.

/**
 * `ok`: as it should be. `warning`: works, with a loss that the remedy names. `missing`: something optional is not
 * there. `broken`: something that Farsight cannot do without does not work.
 */
export type Status = 'ok' | 'warning' | 'missing' | 'broken';

export interface Check {
  name: string;
  status: Status;
  detail: string;
  /** What to do; null when there is nothing to mend. */
  remedy: string | null;
}

export function ok(name: string, detail: string): Check {
  return { name, status: 'ok', detail, remedy: null };
}
