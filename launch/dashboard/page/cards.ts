// What the page says in words: a robot's state, its recordings and uploads, trainings and refits.
import type { RobotCard, RunCard } from '../../../bridge/pageMessages.js';
import { describe, type Entry, element } from './elements.js';
import { colour } from './theme.js';

const whole = (value: number) => value.toLocaleString('en-US', { maximumFractionDigits: 0 });
const mega = (bytes: number) =>
  bytes < 1e10 ? `${(bytes / 1e6).toFixed(bytes < 1e8 ? 1 : 0)} MB` : `${(bytes / 1e9).toFixed(0)} GB`;

export function showState({ connection, telemetry }: RobotCard): void {
  if (!telemetry) {
    describe(element('state'), [['connection', connection]]);
    return;
  }
  const { mode, fault, policy, rateHz, scheduling, ticks, missed, longestMiss, machine, emergencyStop } =
    telemetry;
  const { total } = telemetry.phases;
  const interventions = Object.entries(telemetry.interventions).filter(([, count]) => count > 0);
  const entries: Entry[] = [
    ['connection', connection, connection === 'online' ? undefined : 'bad'],
    ['mode', mode, mode === 'damping' || mode === 'fault' ? 'bad' : undefined],
    ['fault', fault, fault === 'none' ? undefined : 'bad'],
    ['policy', `${policy.task} ${policy.sha256.slice(0, 12)}`],
    [
      'loop',
      `${rateHz} Hz, ${scheduling === 'fifo' ? 'real-time' : 'NOT real-time'}`,
      scheduling === 'fifo' ? undefined : 'warm',
    ],
    ['ticks', whole(ticks)],
    [
      'missed',
      missed === 0 ? '0' : `${whole(missed)}, ${longestMiss} on end`,
      missed > 0 ? 'warm' : undefined,
    ],
    [
      'since the start',
      `p99 ${Math.round(total.p99)}, p99.9 ${Math.round(total.p999)}, max ${Math.round(total.max)} µs`,
    ],
    ['interventions', interventions.map(([name, count]) => `${name} ${whole(count)}`).join(', ') || 'none'],
  ];
  if (emergencyStop)
    entries.push([
      'emergency stop',
      emergencyStop.set ? 'set' : 'free',
      emergencyStop.set ? 'bad' : undefined,
    ]);
  if (machine) {
    const { memory, celsius } = machine;
    entries.push(['computer', `${mega(memory)}${celsius === null ? '' : `, ${celsius.toFixed(0)} °C`}`]);
  }
  describe(element('state'), entries);
}

/** Recordings on the robot, and on their way to the collector. */
export function showRecordings({ telemetry, transfer }: RobotCard): void {
  const panel = element('recordings');
  const recording = telemetry?.recording;
  panel.hidden = !recording && !transfer;
  if (panel.hidden) return;
  const entries: Entry[] = [];
  if (recording) {
    const { rows, lost, waiting, blackBoxes, trouble } = recording;
    entries.push(
      [
        'recorder',
        trouble ?? `${whole(rows)} rows${waiting > 0 ? `, ${whole(waiting)} wait` : ''}`,
        trouble ? 'bad' : undefined,
      ],
      ['lost', whole(lost), lost > 0 ? 'bad' : undefined],
      ['black boxes', whole(blackBoxes)],
    );
  }
  if (transfer) {
    const { disk, waiting, current, stored, rows, quarantined, dropped, collector, trouble } = transfer;
    const under = current
      ? `${current.name} ${Math.round((100 * current.sent) / Math.max(1, current.bytes))} %`
      : 'none';
    entries.push(
      ['collector', collector ?? 'none: recordings stay'],
      ['disk', `${mega(disk.used)} of ${mega(disk.quota)}, ${mega(disk.free)} free`],
      ['wait', `${waiting.files} files, ${mega(waiting.bytes)}`],
      ['under way', under],
      ['stored', `${whole(stored)} files, ${whole(rows)} rows`],
      ['quarantined', whole(quarantined), quarantined > 0 ? 'warm' : undefined],
      [
        'dropped unsent',
        `${whole(dropped.files)} files, ${whole(dropped.rows)} rows`,
        dropped.files > 0 ? 'bad' : undefined,
      ],
    );
    if (trouble) entries.push(['trouble', trouble, 'bad']);
  }
  describe(panel.querySelector('dl')!, entries);
}

export function showRuns(runs: readonly RunCard[]): void {
  element('runs').hidden = runs.length === 0;
  const list = element('runs').querySelector('ul')!;
  list.replaceChildren(...runs.map(runItem));
}

function runItem(run: RunCard): HTMLLIElement {
  const item = document.createElement('li');
  const { name, kind, task, preset, running, steps, of, seconds, evaluations, refit } = run;
  const title = document.createElement('b');
  title.textContent = name;
  const state = document.createElement('span');
  state.textContent = running
    ? `${kind} under way`
    : refit
      ? refit.accepted
        ? 'refit accepted'
        : 'refit rejected'
      : kind;
  state.className = running ? 'accent' : refit && !refit.accepted ? 'bad' : 'quiet';
  const text = document.createElement('p');
  const best = Math.max(...evaluations.map(([, mean]) => mean));
  text.textContent = [
    [task, preset].filter(Boolean).join(', '),
    of > 0 ? `${whole(steps)}${refit ? '' : ` of ${whole(of)}`} steps in ${duration(seconds)}` : '',
    refit ? `return ${refit.before.toFixed(1)} → ${refit.after.toFixed(1)}` : '',
    !refit && evaluations.length > 0 ? `best return ${best.toFixed(1)}` : '',
  ]
    .filter(Boolean)
    .join(' · ');
  item.append(title, state, text);
  if (of > 0 && running) {
    const bar = document.createElement('progress');
    Object.assign(bar, { max: of, value: steps, ariaLabel: 'Steps' });
    item.append(bar);
  }
  if (evaluations.length > 1) item.append(curve(evaluations));
  return item;
}

/** Returns over steps, small. */
function curve(points: RunCard['evaluations']): SVGSVGElement {
  const svg = document.createElementNS('http://www.w3.org/2000/svg', 'svg');
  const line = document.createElementNS('http://www.w3.org/2000/svg', 'polyline');
  const values = points.map(([, mean]) => mean);
  const [low, high] = [Math.min(0, ...values), Math.max(...values)];
  const last = points[points.length - 1][0];
  const at = ([steps, mean]: [number, number]) =>
    `${((300 * steps) / last).toFixed(1)},${(46 - (44 * (mean - low)) / Math.max(1e-9, high - low)).toFixed(1)}`;
  svg.setAttribute('viewBox', '0 0 300 48');
  svg.setAttribute('preserveAspectRatio', 'none');
  svg.setAttribute('role', 'img');
  svg.setAttribute('aria-label', `Return over steps, up to ${high.toFixed(1)}`);
  line.setAttribute('points', points.map(at).join(' '));
  line.setAttribute('stroke', colour('accent'));
  svg.append(line);
  return svg;
}

function duration(seconds: number): string {
  if (seconds < 120) return `${Math.round(seconds)} s`;
  return seconds < 7200 ? `${Math.round(seconds / 60)} min` : `${(seconds / 3600).toFixed(1)} h`;
}
