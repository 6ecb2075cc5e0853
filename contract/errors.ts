// The two errors that a person can mend: both reach the terminal as one line, without a stack.

/** Something given is wrong or an operation failed; the message says what, where and how to mend it. Exit code 1. */
export class FarsightError extends Error {
  override name = 'FarsightError';
}

/** The command line itself is wrong. Exit code 2. */
export class UsageError extends FarsightError {
  override name = 'UsageError';
}

/** Any thrown value as one line of text. */
export function messageOf(error: unknown): string {
  return (error instanceof Error ? error.message : String(error)).replace(/\s*\n\s*/g, '; ');
}
