// Doctor's checks of the real-time side of a Linux machine: may the loop have priority, and how late does it wake.
import { Worker } from 'node:worker_threads';
import { messageOf } from '../../contract/errors.js';
import { REINSTALL } from '../../contract/packages.js';
import { type Check, ok } from './check.js';
import { findProgram, readText } from './computer.js';
import { kernelChecks } from './kernel.js';
import type { WakeReport } from './wakeProbe.js';

/** More than the buffers that the control loop locks. */
const MEMLOCK_NEEDED = 4 * 2 ** 20;
const CAP_IPC_LOCK = 14;
const CAP_SYS_NICE = 23;
const LIMITS_HELP =
  "add '<user> - rtprio 98' and '<user> - memlock unlimited' to /etc/security/limits.d/farsight.conf and log in again; in Docker add --cap-add=SYS_NICE --ulimit rtprio=98 --ulimit memlock=-1";

/** Takes about a second: it measures wake-up latency. */
export async function realTimeChecks(): Promise<Check[]> {
  if (process.platform !== 'linux') {
    return [
      {
        name: 'Real-time scheduling',
        status: 'warning',
        detail: `${process.platform} has no SCHED_FIFO: the loop runs, with late ticks`,
        remedy: 'train here, control the robot from Linux',
      },
    ];
  }
  let report: WakeReport;
  try {
    report = await probe();
  } catch (error) {
    const detail = `cannot be tried: ${messageOf(error)}`;
    return [{ name: 'SCHED_FIFO', status: 'broken', detail, remedy: REINSTALL }];
  }
  return [
    ...scheduling(report),
    limit('rtprio limit', 'Max realtime priority', report.priority, CAP_SYS_NICE, String),
    limit('memlock limit', 'Max locked memory', MEMLOCK_NEEDED, CAP_IPC_LOCK, mebibytes),
    ...kernelChecks(),
    cyclictest(),
  ];
}

function scheduling(report: WakeReport): Check[] {
  const name = 'SCHED_FIFO';
  const { p50, p99, max } = report.lateness;
  const measured = `p50 ${p50.toFixed(0)} µs, p99 ${p99.toFixed(0)} µs, max ${max.toFixed(0)} µs late (1,000 wake-ups at 1 kHz, ${report.fifo ? 'SCHED_FIFO' : 'without SCHED_FIFO'})`;
  return [
    report.fifo
      ? ok(name, `granted at priority ${report.priority}`)
      : {
          name,
          status: 'warning',
          detail: 'refused: the loop runs without priority and misses ticks under load',
          remedy: hasCapability(CAP_SYS_NICE)
            ? 'the process has CAP_SYS_NICE, so its control group or container refuses: see the real-time budget here'
            : LIMITS_HELP,
        },
    p99 < 1000
      ? ok('Wake-up latency', measured)
      : {
          name: 'Wake-up latency',
          status: 'warning',
          detail: measured,
          remedy: 'run fewer other programs; see SCHED_FIFO, kernel, governor and isolated cores here',
        },
    report.resolution <= 1000
      ? ok('Timer resolution', `${report.resolution} ns`)
      : {
          name: 'Timer resolution',
          status: 'warning',
          detail: `${report.resolution / 1e6} ms`,
          remedy: 'boot a kernel with CONFIG_HIGH_RES_TIMERS, without highres=off',
        },
  ];
}

function probe(): Promise<WakeReport> {
  const worker = new Worker(new URL('./wakeProbe.js', import.meta.url), { execArgv: [] });
  return new Promise((resolve, reject) => {
    worker.once('message', resolve);
    worker.once('error', reject);
    worker.once('exit', () => reject(new Error('the probing thread ended early')));
  });
}

function limit(
  name: string,
  row: string,
  needed: number,
  capability: number,
  show: (value: number) => string,
): Check {
  const text = readText('/proc/self/limits')
    ?.split('\n')
    .find((line) => line.startsWith(row));
  const soft = text?.slice(row.length).trim().split(/\s+/)[0];
  const value = soft === 'unlimited' ? Number.POSITIVE_INFINITY : Number(soft);
  const shown = value === Number.POSITIVE_INFINITY ? 'unlimited' : show(value);
  if (value >= needed) return ok(name, shown);
  if (hasCapability(capability))
    return ok(name, `${shown}, but this process is privileged and not bound by it`);
  return { name, status: 'warning', detail: `${shown}; the loop wants ${show(needed)}`, remedy: LIMITS_HELP };
}

function hasCapability(bit: number): boolean {
  const mask = /^CapEff:\s*([0-9a-f]+)/m.exec(readText('/proc/self/status') ?? '')?.[1] ?? '0';
  return ((BigInt(`0x${mask}`) >> BigInt(bit)) & 1n) === 1n;
}

function cyclictest(): Check {
  const path = findProgram('cyclictest');
  if (path) return ok('cyclictest', path);
  return {
    name: 'cyclictest',
    status: 'missing',
    detail: "not installed; 'farsight bench control' measures the loop beside it",
    remedy: "'apt install rt-tests'",
  };
}

function mebibytes(bytes: number): string {
  return `${Math.round((bytes / 2 ** 20) * 10) / 10} MiB`;
}
