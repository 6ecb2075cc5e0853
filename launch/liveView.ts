// The running loop on a terminal, drawn anew each second: mode, rate, where the time goes, misses, interventions, sensors.
import type { LoopReport } from '../contract/loop.js';
import type { SensorState } from '../controller/ros/management/messages.js';
import { interventionsText, latencyTable } from './latencySummary.js';

/** Lines that stay at the bottom of a terminal. Between two drawings the cursor is at their beginning. */
export class LiveView {
  readonly #terminal: NodeJS.WriteStream;

  constructor(terminal: NodeJS.WriteStream) {
    this.#terminal = terminal;
  }

  show(lines: readonly string[]): void {
    const { columns, rows } = this.#terminal;
    const fitting = lines.slice(0, Math.max(1, rows - 1)).map((line) => line.slice(0, columns - 1));
    this.#terminal.write(
      `\x1b[J${fitting.join('\n')}\r${fitting.length > 1 ? `\x1b[${fitting.length - 1}A` : ''}`,
    );
  }

  clear(): void {
    this.#terminal.write('\x1b[J');
  }
}

/** What is shown of a loop `seconds` after its activation. */
export function liveLines(
  report: LoopReport,
  seconds: number,
  sensors: readonly SensorState[] = [],
): string[] {
  const { rateHz, mode, fault, ticks, missed, longestMiss, scheduling, gc } = report;
  const { wake, infer, total } = report.phases;
  return [
    `${seconds.toFixed(0)} s  ${mode}${fault === 'none' ? '' : `: ${fault}`}  ${rateHz} Hz, ${scheduling === 'fifo' ? 'real-time' : 'NOT real-time'}`,
    ...latencyTable({ wake, infer, total }, rateHz),
    `ticks ${ticks}, missed ${missed}${missed > 0 ? ` (longest run ${longestMiss})` : ''}, garbage collections ${gc}`,
    `interventions ${interventionsText(report)}`,
    ...sensors.map(sensorLine),
  ];
}

function sensorLine({ topic, age, received, refused }: SensorState): string {
  const reasons = Object.entries(refused).filter(([, count]) => count > 0);
  const without =
    reasons.length > 0 ? `, refused: ${reasons.map(([why, n]) => `${why} ${n}`).join(', ')}` : '';
  const old = age === null ? 'never heard' : `${(1000 * age).toFixed(1)} ms old`;
  return `${topic}  ${old}, ${received} received${without}`;
}
