// Ctrl-C and its like, for every command: the first asks for a safe end, a later one ends the process at once.
import { FarsightError } from '../contract/errors.js';
import { say } from './command.js';

/** The last is a terminal that went away. */
const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
/** Signals so soon after the first are the same wish: ros2 launch sends its own beside the terminal's. */
const SAME_WISH_MS = 1000;
/** Between two looks at the parent. */
const PARENT_MS = 250;
/** Set by whoever starts a process that is to end with it: its own process number. ros2 launch dies of SIGTERM alone. */
const PARENT = 'FARSIGHT_PARENT';

/**
 * Calls `stop` at the first signal, with its name, or when the parent that the environment names is gone. Returns how
 * to leave signals alone again.
 */
export function onStopSignal(stop: (by: string) => void): () => void {
  let first: number | undefined;
  const onSignal = (signal: NodeJS.Signals) => {
    if (first === undefined) {
      first = performance.now();
      stop(signal);
    } else if (performance.now() - first > SAME_WISH_MS) {
      release();
      process.kill(process.pid, signal);
    }
  };
  const parent = Number(process.env[PARENT] || process.ppid);
  const look = () => {
    if (!process.env[PARENT] || process.ppid === parent) return;
    clearInterval(watch);
    say('the process that started this one is gone: stopping');
    stop('the end of the process that started this one');
  };
  const watch = setInterval(look, PARENT_MS).unref();
  // It may have gone while this one was loading.
  look();
  const release = () => {
    clearInterval(watch);
    for (const signal of SIGNALS) process.off(signal, onSignal);
  };
  for (const signal of SIGNALS) process.on(signal, onSignal);
  return release;
}

/**
 * Runs `work`, whose `stop` aborts at the first signal with a `FarsightError` as its reason. At once a person is told
 * what it stops after.
 */
export async function stoppable<T>(after: string, work: (stop: AbortSignal) => Promise<T>): Promise<T> {
  const stop = new AbortController();
  const release = onStopSignal((by) => {
    say(`${by}: stopping after ${after}; once more ends it at once`);
    stop.abort(new FarsightError(`stopped by ${by}, without a result`));
  });
  try {
    return await work(stop.signal);
  } finally {
    release();
  }
}
