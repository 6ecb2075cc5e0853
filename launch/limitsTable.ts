// The safety limits of a policy file as a table that one can read: by joint, with units, and where each comes from.
import type { Manifest } from '../contract/manifest.js';

/** Units of a joint's limits; those of a hinge first, then those of a slide. */
const UNITS: Record<string, string> = {
  position: 'rad, m',
  velocity: 'rad/s, m/s',
  commandRate: 'command/s',
  commandAcceleration: 'command/s²',
  commandJerk: 'command/s³',
  approachGain: '1/s',
  jumpMargin: '× velocity',
  jumpAllowance: 'rad, m',
  stuckTimeout: 's',
};
/** After a limit that the export derived. */
const DERIVED = '*';
/** From here on a value means that there is no limit. */
const NEVER = 1e9;

/** One line for each joint that has limits, then one for each limit of the whole robot. */
export function limitsTable({ safety, derivedLimits }: Pick<Manifest, 'safety' | 'derivedLimits'>): string[] {
  const mark = (name: string) => (derivedLimits?.includes(name) ? DERIVED : '');
  const { joints, ...others } = safety;
  const fields = [...new Set(joints.flatMap((entry) => Object.keys(entry)))].filter(
    (name) => name !== 'joint',
  );
  const rows = joints.map((entry) => [
    entry.joint,
    ...fields.map((field) => {
      const value = entry[field as keyof typeof entry];
      return value === undefined ? '-' : text(value) + mark(`${entry.joint} ${field}`);
    }),
  ]);
  const head = [
    ['joint', ...fields],
    ['', ...fields.map((field) => UNITS[field] ?? '')],
  ];
  const robot = Object.entries(others).flatMap(([field, value]) =>
    value === undefined ? [] : [[field, sentence(field as keyof typeof others, others) + mark(field)]],
  );
  return [
    ...(rows.length > 0 ? [...columns([...head, ...rows]), ''] : []),
    ...columns(robot),
    ...(derivedLimits
      ? [
          '',
          `${DERIVED} derived from training at the export; the task states the rest, or leaves its default`,
        ]
      : []),
  ];
}

/** A limit of the whole robot in words. */
function sentence(field: keyof Manifest['safety'], safety: Omit<Manifest['safety'], 'joints'>): string {
  const { bounds = [], missed, outOfDistribution, limiting, sensorTimeout, blendTime } = safety;
  const share = (value: number) => `${text(100 * value)} %`;
  switch (field) {
    case 'bounds':
      return bounds.map(({ term, range }) => `${term} ${text(range)}`).join(', ');
    case 'missed':
      return `ticks for ${text(missed.longest)} s on end, or ${share(missed.share)} of ${text(missed.window)} s`;
    case 'outOfDistribution':
      return `${text(outOfDistribution?.limit)} standard deviations, for ${outOfDistribution?.steps} steps of the policy`;
    case 'limiting':
      return `${share(limiting?.share ?? 1)} of ${limiting?.steps} steps of the policy`;
    default:
      return `${text(field === 'blendTime' ? blendTime : sensorTimeout)} s`;
  }
}

/** Three digits of numbers, both ends of ranges, the fields of objects. */
function text(value: unknown): string {
  if (typeof value === 'number') {
    if (Math.abs(value) >= NEVER) return value > 0 ? '∞' : '-∞';
    return String(Number(value.toPrecision(3)));
  }
  if (Array.isArray(value)) return value.map(text).join(' … ');
  if (typeof value === 'object' && value !== null) {
    return Object.entries(value)
      .map(([name, one]) => `${name} ${text(one)}`)
      .join(' ');
  }
  return String(value);
}

/** Cells in columns as wide as their widest, two blanks between them. */
function columns(rows: readonly (readonly string[])[]): string[] {
  const widths = rows.length > 0 ? rows[0].map((_, i) => Math.max(...rows.map((row) => row[i].length))) : [];
  return rows.map((row) =>
    row
      .map((cell, i) => cell.padEnd(widths[i]))
      .join('  ')
      .trimEnd(),
  );
}
