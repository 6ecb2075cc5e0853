// Ctrl-C and its like: the first asks for a safe end, and one that a person sends after that ends the process at once.

/** The last is a terminal that went away. */
const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
/** Signals so soon after the first are the same wish: ros2 launch sends its own beside the terminal's. */
const SAME_WISH_MS = 1000;

/** Calls `stop` at the first signal. Returns how to leave signals alone again. */
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
  const release = () => {
    for (const signal of SIGNALS) process.off(signal, onSignal);
  };
  for (const signal of SIGNALS) process.on(signal, onSignal);
  return release;
}
