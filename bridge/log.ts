// The bridge's log: one JSON object a line on stderr, by pino; FARSIGHT_LOG sets the level, otherwise a file gets `info`
// and a person at a terminal `warn`. Never for the loop's thread.
import { type Logger, pino } from 'pino';
import { FarsightError } from '../contract/errors.js';

const LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'];

export type Log = Logger;

/** A logger whose lines carry `part`. Throws a `FarsightError` when FARSIGHT_LOG is no level. */
export function logger(part: string): Log {
  const level = process.env.FARSIGHT_LOG ?? (process.stderr.isTTY ? 'warn' : 'info');
  if (!LEVELS.includes(level)) {
    throw new FarsightError(`FARSIGHT_LOG is '${level}': it wants one of ${LEVELS.join(', ')}`);
  }
  const destination = pino.destination({ fd: 2, sync: true });
  // Where nobody reads any more, nothing is said.
  destination.on('error', () => {});
  return pino({ level, base: { part }, timestamp: pino.stdTimeFunctions.isoTime }, destination);
}
