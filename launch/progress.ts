// Live progress of long work on stderr: one line redrawn in place on a terminal, a plain line now and then elsewhere; and as
// a message to a process that started this one with a channel.
import cliProgress from 'cli-progress';

const REDRAW_MS = 100;
const PLAIN_MS = 5000;
/** Between two messages to the parent. */
const MESSAGE_MS = 500;
/** Rate and time left are those of the last stretch, this long at least: work often starts fast and becomes slower. */
const WINDOW_MS = 30_000;
/** And at least this share of the whole: work may come in rounds, units in bursts between stretches without any. */
const WINDOW_SHARE = 0.05;
const BAR = {
  barsize: 16,
  barCompleteString: '█'.repeat(16),
  barIncompleteString: '░'.repeat(16),
  barGlue: '',
};

/** What a parent hears. */
export interface ProgressMessage {
  done: number;
  total: number;
  numbers: Record<string, string>;
}

export interface Progress {
  /** Work done so far, in units, and the newest numbers to show with it, by name. May be called at any rate. */
  update(done: number, numbers?: Record<string, string>): void;
  /** Ends the line with `summary`, or with the last state where work was done. Later calls do nothing. */
  finish(summary?: string): void;
}

/**
 * Starts showing progress of `title` towards `total` units ("steps"). Draws only inside `update` and `finish`: it holds
 * no timer, so work that fails needs no clean-up.
 */
export function startProgress(options: { title: string; total: number; unit: string }): Progress {
  const { title, total, unit } = options;
  const out = process.stderr;
  const live = out.isTTY && process.env.TERM !== 'dumb';
  const interval = live ? REDRAW_MS : PLAIN_MS;
  const began = performance.now();
  const samples: { time: number; done: number }[] = [];
  let drawn = live ? Number.NEGATIVE_INFINITY : began;
  let told = Number.NEGATIVE_INFINITY;
  let newest: { done: number; numbers: Record<string, string> } = { done: 0, numbers: {} };
  let finished = false;

  function rate(): number {
    const first = samples[0];
    const last = samples[samples.length - 1];
    return last && last.time > first.time ? ((last.done - first.done) * 1000) / (last.time - first.time) : 0;
  }

  function line(): string {
    const { done, numbers } = newest;
    const share = Math.min(1, total > 0 ? done / total : 1);
    const speed = rate();
    const parts = [`${done}/${total} ${unit}`];
    if (speed > 0) {
      parts.push(`${compact(speed)}/s`);
      if (share < 1) parts.push(`${duration((total - done) / speed)} left`);
    }
    for (const [name, value] of Object.entries(numbers)) parts.push(`${name} ${value}`);
    const percent = `${Math.floor(100 * share)}%`.padStart(4);
    if (!live) return `${title}:${percent}  ${parts.join(' · ')}`;
    const bar = cliProgress.Format.BarFormat(share, BAR);
    return `${title} ${bar}${percent}  ${parts.join(' · ')}`.slice(0, Math.max(20, (out.columns ?? 80) - 1));
  }

  const draw = () => out.write(live ? `\r\x1b[K${line()}` : `${line()}\n`);

  return {
    update(done, numbers) {
      if (finished) return;
      newest = { done, numbers: numbers ?? newest.numbers };
      const time = performance.now();
      const previous = samples.at(-2);
      if (previous && time - previous.time < REDRAW_MS) samples.pop();
      samples.push({ time, done });
      const behind = (sample: { time: number; done: number }) =>
        time - sample.time > WINDOW_MS && done - sample.done > WINDOW_SHARE * total;
      while (samples.length > 2 && behind(samples[1])) samples.shift();
      if (process.connected && time - told >= MESSAGE_MS) {
        told = time;
        // A parent that was killed meanwhile hears nothing: no error of this work.
        process.send?.({ ...newest, total } satisfies ProgressMessage, () => {});
      }
      if (time - drawn < interval) return;
      drawn = time;
      draw();
    },
    finish(summary) {
      if (finished) return;
      finished = true;
      if (live) out.write('\r\x1b[K');
      if (summary === undefined && newest.done === 0) return;
      const time = duration((performance.now() - began) / 1000);
      out.write(
        summary === undefined ? `${line()}\n` : `${title}: ${summary} (${newest.done} ${unit} in ${time})\n`,
      );
    },
  };
}

function compact(value: number): string {
  return value >= 100 ? value.toFixed(0) : value.toPrecision(2);
}

/** Seconds as people say them: "8 s", "3 min 20 s", "2 h 5 min". */
export function duration(seconds: number): string {
  const s = Math.round(seconds);
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min ${s % 60} s`;
  const minutes = Math.round(s / 60);
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}
