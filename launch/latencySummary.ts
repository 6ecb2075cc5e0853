// The loop's report as a table that one can read at a glance.
import type { Percentiles } from '../contract/histogram.js';
import { type Intervention, type LoopReport, PHASES } from '../contract/loop.js';

const COLUMNS = ['p50', 'p90', 'p99', 'p999', 'p9999', 'max'] as const;
const TITLES = { p50: 'p50', p90: 'p90', p99: 'p99', p999: 'p99.9', p9999: 'p99.99', max: 'max' };
const BAR = 22;

/** Phases by percentiles in µs, each with a bar against the period: solid to p50, dark to p99.9, light to max. */
export function latencyTable(phases: Record<string, Percentiles>, rateHz: number): string[] {
  const period = 1e6 / rateHz;
  const names = Object.keys(phases);
  const wide = Math.max(...names.map((name) => name.length));
  const head = COLUMNS.map((column) => TITLES[column].padStart(8)).join('');
  return [
    `${'µs'.padEnd(wide)}${head}  0${number(period).padStart(BAR - 1, '─')}`,
    ...names.map((name) => {
      const values = COLUMNS.map((column) => number(phases[name][column]).padStart(8)).join('');
      return `${name.padEnd(wide)}${values}  ${bar(phases[name], period)}`;
    }),
  ];
}

/** The whole report: what the loop did, where its time went, what the envelope changed. */
export function summary(report: LoopReport & { policyRateHz: number }): string {
  const { rateHz, policyRateHz, ticks, missed, longestMiss, scheduling, mode, fault, gc } = report;
  if (mode === 'unconfigured') return 'no policy was served';
  const misses = missed === 0 ? 'none missed' : `${missed} missed (longest run ${longestMiss})`;
  return [
    `${ticks} ticks at ${number(rateHz)} Hz, ${misses}; the policy infers at ${number(policyRateHz)} Hz`,
    '',
    ...latencyTable(Object.fromEntries(PHASES.map((phase) => [phase, report.phases[phase]])), rateHz),
    '',
    `scheduling     ${scheduling === 'fifo' ? 'SCHED_FIFO' : 'ordinary (no real-time priority)'}, ${gc} garbage collections in the loop`,
    `mode           ${mode}${fault === 'none' ? '' : `: ${fault}`}`,
    `interventions  ${interventionsText(report)}`,
  ].join('\n');
}

/** What the envelope changed, by kind, and for which joints. */
export function interventionsText({ interventions, interventionsByJoint }: LoopReport): string {
  const some = (Object.entries(interventions) as [Intervention, number][]).filter(([, count]) => count > 0);
  const texts = some.map(([name, count]) => {
    const joints = Object.entries(interventionsByJoint).flatMap(([joint, counts]) =>
      counts[name] === undefined ? [] : [`${joint} ${counts[name]}`],
    );
    return `${name} ${count}${joints.length > 0 ? ` (${joints.join(', ')})` : ''}`;
  });
  return texts.length === 0 ? 'none' : texts.join(', ');
}

/** The state of a running loop in one line. */
export function statusLine({ ticks, missed, mode, fault, phases }: LoopReport, seconds: number): string {
  const { wake, total } = phases;
  return [
    `${seconds.toFixed(0).padStart(4)} s`,
    `${mode}${fault === 'none' ? '' : ` (${fault})`}`,
    `${ticks} ticks`,
    `${missed} missed`,
    `wake p99 ${number(wake.p99)}`,
    `total p50 ${number(total.p50)} p99.9 ${number(total.p999)} max ${number(total.max)} µs`,
  ].join('  ');
}

function number(value: number): string {
  return value >= 100 ? value.toFixed(0) : String(Number(value.toFixed(1)));
}

function bar({ p50, p999, max }: Percentiles, period: number): string {
  const reach = (value: number) =>
    value > 0 ? Math.min(BAR, Math.max(1, Math.round((value / period) * BAR))) : 0;
  const [solid, dark, light] = [reach(p50), reach(p999), reach(max)];
  return '█'.repeat(solid) + '▓'.repeat(dark - solid) + '░'.repeat(light - dark) + '·'.repeat(BAR - light);
}
