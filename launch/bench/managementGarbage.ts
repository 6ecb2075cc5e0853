// Loaded into every process of a benchmark by NODE_OPTIONS: the management process, and it alone, makes garbage then.
import { isMainThread } from 'node:worker_threads';
import { startGarbage } from './load.js';

if (isMainThread && process.argv[1]?.endsWith('management/process.js')) startGarbage();
