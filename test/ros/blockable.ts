// Imported before a program: SIGUSR2 then keeps its main thread busy for 2 s.
import { isMainThread } from 'node:worker_threads';

const BLOCKED_MS = 2000;

if (isMainThread) {
  process.on('SIGUSR2', () => {
    const end = performance.now() + BLOCKED_MS;
    while (performance.now() < end);
  });
}
