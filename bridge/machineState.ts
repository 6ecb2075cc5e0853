// What the system tells of this computer and process: page faults, memory, the processors' frequency, the temperature.
import { readdirSync, readFileSync } from 'node:fs';
import type { Telemetry } from '../contract/telemetry.js';

type MachineState = NonNullable<Telemetry['machine']>;

const SCHED_FIFO = 1;
/** Fields of /proc/PID/task/TID/stat behind the name, from 0. */
const STAT = { minorFaults: 7, majorFaults: 9, priority: 37, policy: 38 } as const;

/** Reads it all anew; what the system does not tell is null. */
export function machineState(): MachineState {
  const { minorPageFault, majorPageFault } = process.resourceUsage();
  return {
    pageFaults: {
      process: { minor: minorPageFault, major: majorPageFault },
      loop: loopFaults(),
    },
    memory: process.memoryUsage.rss(),
    megahertz: processorFrequency(),
    celsius: temperature(),
  };
}

/** Of the thread of this process that has the highest real-time priority: the loop's. */
function loopFaults(): { minor: number; major: number } | null {
  let found: { priority: number; minor: number; major: number } | null = null;
  for (const task of names('/proc/self/task')) {
    const text = contentOf(`/proc/self/task/${task}/stat`);
    // The name is in brackets and may hold anything.
    const fields = text
      ?.slice(text.lastIndexOf(')') + 2)
      .split(' ')
      .map(Number);
    if (fields?.[STAT.policy] !== SCHED_FIFO) continue;
    const priority = fields[STAT.priority];
    if (!found || priority > found.priority)
      found = { priority, minor: fields[STAT.minorFaults], major: fields[STAT.majorFaults] };
  }
  return found && { minor: found.minor, major: found.major };
}

/** Of the slowest processor now, MHz. */
function processorFrequency(): number | null {
  const folder = '/sys/devices/system/cpu';
  const frequencies = names(folder)
    .filter((name) => /^cpu\d+$/.test(name))
    .map((name) => numberIn(`${folder}/${name}/cpufreq/scaling_cur_freq`))
    .filter((value) => value !== null);
  return frequencies.length > 0 ? Math.min(...frequencies) / 1000 : null;
}

/** Of the hottest zone, °C. */
function temperature(): number | null {
  const folder = '/sys/class/thermal';
  const zones = names(folder)
    .filter((name) => name.startsWith('thermal_zone'))
    .map((name) => numberIn(`${folder}/${name}/temp`))
    .filter((value) => value !== null);
  return zones.length > 0 ? Math.max(...zones) / 1000 : null;
}

function numberIn(path: string): number | null {
  const value = Number(contentOf(path)?.trim() || Number.NaN);
  return Number.isFinite(value) ? value : null;
}

function names(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}

function contentOf(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined;
  }
}
