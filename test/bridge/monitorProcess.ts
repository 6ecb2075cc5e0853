// The monitor command alone, as a process.
import { monitorCommand } from '../../launch/commands/monitor.js';

await monitorCommand().parseAsync();
