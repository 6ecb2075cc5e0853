// When the page draws: jobs by name, some milliseconds of them a frame, so that many robots never make one long frame.

/** Of a frame that jobs may take: what does not fit waits for the next one. */
const BUDGET_MS = 8;
/** How many frames the figures are about, at 60 a second ten seconds. */
const KEPT = 600;

const jobs = new Map<string, () => void>();
const intervals: number[] = [];
const works: number[] = [];
let last = Number.NaN;

/** Has `job` done in one of the next frames, once, however often it is asked for. */
export function soon(name: string, job: () => void): void {
  jobs.set(name, job);
}

/** ms between frames, and of the page's own work in one, lately. */
export function frameTimes() {
  const sorted = [...intervals].sort((a, b) => a - b);
  const at = (share: number) => sorted[Math.floor(share * (sorted.length - 1))] ?? 0;
  const work = [...works].sort((a, b) => a - b);
  return {
    frames: intervals.length,
    p50: at(0.5),
    p99: at(0.99),
    longest: at(1),
    work: { p99: work[Math.floor(0.99 * (work.length - 1))] ?? 0, longest: work.at(-1) ?? 0 },
  };
}

/** Forgets the frames so far, as after a page has loaded. */
export function restartFrameTimes(): void {
  intervals.length = 0;
  works.length = 0;
}

function frame(time: number): void {
  requestAnimationFrame(frame);
  if (time > last) keep(intervals, time - last);
  last = time;
  const start = performance.now();
  for (const [name, job] of jobs) {
    jobs.delete(name);
    job();
    if (performance.now() - start > BUDGET_MS) break;
  }
  keep(works, performance.now() - start);
}

function keep(list: number[], value: number): void {
  list.push(value);
  if (list.length > KEPT) list.shift();
}

// A page that is hidden has no frames.
document.addEventListener('visibilitychange', () => {
  last = Number.NaN;
});
requestAnimationFrame(frame);
