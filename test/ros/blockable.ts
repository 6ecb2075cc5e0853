// Imported before a program: SIGUSR2 then keeps its main thread busy for 2 s, or FARSIGHT_TEST_BLOCK milliseconds.
import { isMainThread } from 'node:worker_threads';

const BLOCKED_MS = Number(process.env.FARSIGHT_TEST_BLOCK ?? 2000);

if (isMainThread) {
  process.on('SIGUSR2', () => {
    const end = performance.now() + BLOCKED_MS;
    while (performance.now() < end);
  });
}
