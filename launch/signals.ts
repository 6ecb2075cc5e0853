// Ctrl-C and its like: the first asks for a safe end, and one that a person sends after that ends the process at once.
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
 * Calls `stop` at the first signal, or when the parent that the environment names is gone. Returns how to leave signals
 * alone again.
 */
export function onStopSignal(stop: () => void): () => void {
  let first: number | undefined;
  const onSignal = (signal: NodeJS.Signals) => {
    if (first === undefined) {
      first = performance.now();
      stop();
    } else if (performance.now() - first > SAME_WISH_MS) {
      release();
      process.kill(process.pid, signal);
    }
  };
  const parent = Number(process.env[PARENT] || process.ppid);
  const watch = setInterval(() => {
    if (!process.env[PARENT] || process.ppid === parent) return;
    clearInterval(watch);
    say('the process that started this one is gone: stopping');
    stop();
  }, PARENT_MS).unref();
  const release = () => {
    clearInterval(watch);
    for (const signal of SIGNALS) process.off(signal, onSignal);
  };
  for (const signal of SIGNALS) process.on(signal, onSignal);
  return release;
}
