// Hard real time for one thread: SCHED_FIFO, absolute sleeps, locked buffers and a clock that allocates nothing (Linux).
import { openSync, writeSync } from 'node:fs';
import { cpus } from 'node:os';
import koffi from 'koffi';
import { FarsightError } from '../contract/errors.js';

/** The loop's priority under SCHED_FIFO: above ordinary threaded interrupts' (50), below the kernel's watchdogs (99). */
export const LOOP_PRIORITY = 80;

const SCHED_FIFO = 1;
/** Threads that this one starts go back to SCHED_OTHER: the JavaScript engine's helpers must not have its priority. */
const SCHED_RESET_ON_FORK = 0x40000000;
const PR_SET_TIMERSLACK = 29;
const CLOCK_MONOTONIC = 1;
const TIMER_ABSTIME = 1;
const EINTR = 4;
/** Bytes of a processor mask: more than any kernel's. */
const PROCESSORS = 1024;
const SECOND = 1e9;

/**
 * The time and sleep of the loop's thread. Times are ns of CLOCK_MONOTONIC, and pass through a `Float64Array`
 * because a double that a function returns may be boxed on the heap.
 */
export interface Clock {
  /** Writes the present time into `times[index]`. */
  stamp(times: Float64Array, index: number): void;
  /** Blocks the thread until `times[index]`; at once when that has passed. */
  sleepUntil(times: Float64Array, index: number): void;
}

/** What the calling thread obtained. */
export interface RealtimeThread {
  clock: Clock;
  /** Whether the thread has SCHED_FIFO. */
  fifo: boolean;
  /** Goes over to another priority, as far as the system allows. */
  prioritize(priority: number): void;
  /** What is missing and how to mend it, one sentence each. */
  notes: string[];
}

type Foreign = (...args: unknown[]) => number;

/** The C library's functions, or undefined where it is not Linux's. */
function linuxLibrary() {
  if (process.platform !== 'linux') return undefined;
  try {
    const library = koffi.load(null);
    return {
      setScheduler: library.func('int sched_setscheduler(int, int, void *)') as Foreign,
      getTime: library.func('int clock_gettime(int, void *)') as Foreign,
      sleep: library.func('int clock_nanosleep(int, int, void *, void *)') as Foreign,
      lock: library.func('int mlock(void *, size_t)') as Foreign,
      setAffinity: library.func('int sched_setaffinity(int, size_t, void *)') as Foreign,
      control: library.func('int prctl(int, ulong, ulong, ulong, ulong)') as Foreign,
    };
  } catch {
    return undefined;
  }
}

/**
 * Turns the calling thread, and no other, into a real-time one as far as the system allows: SCHED_FIFO, timer slack
 * of 1 ns, and `buffers` locked in memory. Never the whole process: locking all of it crashes the JavaScript engine,
 * which discards pages, and its helper threads must not preempt the machine. With a `core`, an isolated one say, the
 * thread stays on that. Throws a `FarsightError` when it may not.
 */
export function takeRealtimeThread(
  buffers: readonly ArrayBufferView[],
  priority = LOOP_PRIORITY,
  core?: number,
): RealtimeThread {
  const library = linuxLibrary();
  if (!library) {
    return {
      clock: new WaitingClock(),
      fifo: false,
      prioritize() {},
      notes: ['no Linux C library: the loop sleeps with Atomics.wait, without real-time priority'],
    };
  }
  if (core !== undefined) {
    const mask = new Uint8Array(PROCESSORS / 8);
    mask[core >> 3] = 1 << (core & 7);
    if (library.setAffinity(0, mask.length, mask) !== 0) {
      throw new FarsightError(
        `core ${core}: the loop cannot run there; this computer has cores 0 to ${cpus().length - 1}, and a container or service may be given fewer`,
      );
    }
  }
  const notes: string[] = [];
  const prioritize = (wanted: number) =>
    library.setScheduler(0, SCHED_FIFO | SCHED_RESET_ON_FORK, new Int32Array([wanted])) === 0;
  const fifo = prioritize(priority);
  if (!fifo) {
    notes.push(
      'no real-time priority (SCHED_FIFO refused): give the user rtprio in /etc/security/limits.d, or the process CAP_SYS_NICE',
    );
  }
  library.control(PR_SET_TIMERSLACK, 1, 0, 0, 0);
  keepProcessorsAwake();
  const locked = buffers.every((buffer) => library.lock(buffer, buffer.byteLength) === 0);
  if (!locked) {
    notes.push(
      "the loop's buffers could not be locked in memory: give the user memlock in /etc/security/limits.d, or the process CAP_IPC_LOCK",
    );
  }
  return { clock: new MonotonicClock(library.getTime, library.sleep), fifo, prioritize, notes };
}

/**
 * Keeps the processors out of sleep states that take long to leave, for as long as the thread lives: Node closes the
 * file with it. Best effort: most systems allow it to root alone.
 */
function keepProcessorsAwake(): void {
  try {
    writeSync(openSync('/dev/cpu_dma_latency', 'w'), new Int32Array([0]));
  } catch {
    // The loop runs all the same; wake-ups on an idle machine are later.
  }
}

/** CLOCK_MONOTONIC by its system calls, through one reused `struct timespec`. */
class MonotonicClock implements Clock {
  readonly #getTime: Foreign;
  readonly #sleep: Foreign;
  /** Two 64-bit little-endian integers, seconds and nanoseconds, of which the lower halves are used. */
  readonly #timespec = new Int32Array(4);

  constructor(getTime: Foreign, sleep: Foreign) {
    this.#getTime = getTime;
    this.#sleep = sleep;
  }

  stamp(times: Float64Array, index: number): void {
    this.#getTime(CLOCK_MONOTONIC, this.#timespec);
    times[index] = this.#timespec[0] * SECOND + this.#timespec[2];
  }

  sleepUntil(times: Float64Array, index: number): void {
    const seconds = Math.floor(times[index] / SECOND);
    this.#timespec[0] = seconds;
    this.#timespec[2] = times[index] - seconds * SECOND;
    while (this.#sleep(CLOCK_MONOTONIC, TIMER_ABSTIME, this.#timespec, null) === EINTR);
  }
}

/** The fallback where there is no Linux: performance.now() aligned once with CLOCK_MONOTONIC, and Atomics.wait. */
class WaitingClock implements Clock {
  readonly #origin = Number(process.hrtime.bigint()) - performance.now() * 1e6;
  readonly #never = new Int32Array(new SharedArrayBuffer(4));

  stamp(times: Float64Array, index: number): void {
    times[index] = this.#origin + performance.now() * 1e6;
  }

  sleepUntil(times: Float64Array, index: number): void {
    const milliseconds = (times[index] - this.#origin) / 1e6 - performance.now();
    if (milliseconds > 0) Atomics.wait(this.#never, 0, 0, milliseconds);
  }
}
