// The monitor's text: robots, their latency against the period, their misses and events, as lines of a terminal.
import type { Percentiles } from '../contract/histogram.js';
import type { Happening, Received, RobotEvent, TransferState } from '../contract/telemetry.js';
import type { RobotState, Summary, Watcher } from './watcher.js';

const BAR_WIDTH = 16;
/** Telemetry comes once a second; a robot that is online and longer without a word is said to be silent. */
const SILENT_MS = 3000;
const EIGHTHS = [' ', '▏', '▎', '▍', '▌', '▋', '▊', '▉'];

/** The whole view, a line each. */
export function view(watcher: Watcher): string[] {
  const robots = [...watcher.robots.values()].sort((a, b) => a.robot.localeCompare(b.robot));
  const lines = [
    `farsight monitor  ${watcher.url}${watcher.connected ? '' : '  BROKER AWAY, trying again'}`,
    '',
  ];
  if (robots.length === 0) lines.push('no robot has spoken yet');
  for (const robot of robots) lines.push(...robotLines(robot), '');
  const { count, last } = watcher.refused;
  if (count > 0) lines.push(`${count} malformed messages refused, the last: ${last}`);
  return lines;
}

function robotLines(state: RobotState): string[] {
  const { transfer } = state;
  const [head, ...rest] = loopLines(state);
  return [head, ...(transfer ? [`  ${transferText(transfer)}`] : []), ...rest];
}

function loopLines({ robot, connection, telemetry, heard, events, undelivered }: RobotState): string[] {
  const silent = performance.now() - heard;
  const state =
    connection !== 'online'
      ? connection.toUpperCase()
      : telemetry && silent > SILENT_MS
        ? `SILENT for ${Math.round(silent / 1000)} s`
        : 'online';
  if (!telemetry) return [`${robot}  ${state}`, ...events.map((event) => `  ${eventLine(event)}`)];
  const { mode, fault, rateHz, scheduling, ticks, missed, longestMiss, policy, phases, window, dropped } =
    telemetry;
  const lines = [
    `${robot}  ${state}  ${mode}${fault === 'none' ? '' : ` (${fault})`}  ${rateHz} Hz, ${scheduling === 'fifo' ? 'real-time' : 'NOT real-time'} scheduling`,
    `  policy ${policy.sha256.slice(0, 12)} of ${policy.task}`,
    `  ticks ${ticks}   missed ${missed}, ${window.missed} of the last ${window.ticks}, longest run ${longestMiss}`,
    `  ${'µs'.padEnd(14)}${['p50', 'p99', 'p99.9', 'max'].map((name) => name.padStart(8)).join('')}   p99.9 of the period`,
  ];
  const period = 1e6 / rateHz;
  for (const phase of ['wake', 'total'] as const) {
    lines.push(phaseLine(`${phase}, start`, phases[phase], period));
    lines.push(phaseLine(`${phase}, last`, window.phases[phase], period));
  }
  lines.push(`  interventions  ${interventions(telemetry)}`);
  if (dropped.telemetry + dropped.events + undelivered > 0) {
    lines.push(
      `  not delivered  telemetry ${dropped.telemetry + undelivered}, events ${dropped.events} (the histograms since the start miss nothing)`,
    );
  }
  return [...lines, ...events.map((event) => `  ${eventLine(event)}`)];
}

function phaseLine(name: string, { p50, p99, p999, max }: Percentiles, period: number): string {
  const numbers = [p50, p99, p999, max]
    .map((value) => value.toFixed(value < 100 ? 1 : 0).padStart(8))
    .join('');
  return `  ${name.padEnd(14)}${numbers}   ${bar(p999 / period)} ${((100 * p999) / period).toFixed(1)} %`;
}

/** A bar of BAR_WIDTH characters; a share above 1 fills it. */
function bar(share: number): string {
  const eighths = Math.min(BAR_WIDTH * 8, Math.ceil(share * BAR_WIDTH * 8));
  const filled = '█'.repeat(eighths >> 3) + (eighths % 8 > 0 ? EIGHTHS[eighths % 8] : '');
  return `▕${filled.padEnd(BAR_WIDTH)}▏`;
}

function transferText({ waiting, rows, dropped, disk, trouble }: TransferState): string {
  const mega = (bytes: number) => (bytes / 1e6).toFixed(1);
  const lost = dropped.files > 0 ? `, ${dropped.rows} rows DROPPED` : '';
  return `recordings: ${waiting.files} files (${mega(waiting.bytes)} MB) wait, ${rows} rows stored${lost}, disk ${mega(disk.used)} of ${mega(disk.quota)} MB${trouble ? `: ${trouble}` : ''}`;
}

function interventions({ interventions }: Summary): string {
  const some = Object.entries(interventions).filter(([, count]) => count > 0);
  return some.length === 0 ? 'none' : some.map(([name, count]) => `${name} ${count}`).join(', ');
}

/** One line for one message, for a stream without a cursor. */
export function messageLine(
  { kind, message }: Exclude<Received, { kind: 'pose' }>,
  { telemetry }: RobotState,
): string {
  const head = `${message.time}  ${message.robot}`;
  if (kind === 'connection')
    return `${head}  ${message.state}, ${message.rateHz} Hz, policy of ${message.policy.task}`;
  if (kind === 'event') return `${head}  ${happeningText(message.event)}`;
  if (kind === 'transfer') return `${head}  ${transferText(message)}`;
  const { wake, total } = telemetry!.window.phases;
  const short = ({ p50, p99, p999, max }: Percentiles) =>
    [p50, p99, p999, max].map((value) => value.toFixed(0)).join('/');
  return `${head}  ${message.mode}  ticks ${message.ticks}  missed ${message.missed}  p50/p99/p99.9/max µs: wake ${short(wake)}, total ${short(total)}  interventions ${interventions(telemetry!)}`;
}

function eventLine({ time, event }: RobotEvent): string {
  return `${time.slice(11, 23)}  ${happeningText(event)}`;
}

function happeningText(event: Happening): string {
  switch (event.kind) {
    case 'policy loaded':
      return `policy loaded: ${event.policy.sha256.slice(0, 12)} of ${event.policy.task}`;
    case 'mode':
      return `mode ${event.from} → ${event.to}`;
    case 'fault':
      return `FAULT ${event.fault}`;
    case 'intervention':
      return `intervention: ${event.intervention} (${event.count} since the start)`;
    case 'missed ticks':
      return `missed ${event.missed} tick${event.missed === 1 ? '' : 's'} (${event.total} since the start)`;
    case 'delivery':
      return `delivery ${event.target ?? ''} ${event.state}${event.reason === null ? '' : `: ${event.reason}`}`;
  }
}
