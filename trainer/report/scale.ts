// Axes: from a range of numbers to positions, round tick marks and their labels.

export interface Scale {
  from: number;
  to: number;
  log: boolean;
  /** Position of a value: 0 at `from`, 1 at `to`. */
  at(value: number): number;
  ticks: { value: number; label: string }[];
}

/**
 * A linear axis over `[low, high]` with about `count` round ticks, no closer than `leastStep`; a single value gets
 * room around it.
 */
export function linearScale(low: number, high: number, count: number, leastStep = 0): Scale {
  const room = low === high ? Math.abs(low) * 0.1 || 1 : 0;
  const from = low - room;
  const to = high + room;
  const step = Math.max(leastStep, roundStep((to - from) / count));
  const ticks: number[] = [];
  for (let i = Math.ceil(from / step - 1e-9); i * step <= to + step * 1e-9; i++) ticks.push(i * step);
  const [divisor, suffix] = to - from >= 1e6 ? [1e6, 'M'] : to - from >= 1e4 ? [1e3, 'k'] : [1, ''];
  const digits = Math.min(8, Math.max(0, -Math.floor(Math.log10(step / divisor) + 1e-9)));
  return {
    from,
    to,
    log: false,
    at: (value) => (value - from) / (to - from),
    ticks: ticks.map((value) => ({
      value,
      label: value === 0 ? '0' : signed((value / divisor).toFixed(digits)) + suffix,
    })),
  };
}

/** A logarithmic axis over `[low, high]`, both above 0, with ticks at powers of ten or at 1, 2 and 5 of each. */
export function logScale(low: number, high: number): Scale {
  const decades = Math.log10(high / low);
  const stride = Math.max(1, Math.ceil(decades / 6));
  const ticks: number[] = [];
  for (let power = Math.floor(Math.log10(low)); power <= Math.log10(high); power++) {
    if (power % stride !== 0) continue;
    for (const digit of decades > 2.5 ? [1] : [1, 2, 5]) {
      const value = digit * 10 ** power;
      if (value >= low && value <= high) ticks.push(value);
    }
  }
  return {
    from: low,
    to: high,
    log: true,
    at: (value) => Math.log(value / low) / Math.log(high / low),
    ticks: ticks.map((value) => ({ value, label: formatNumber(value) })),
  };
}

/** A number in at most four (or `digits`) significant digits: "812.3", "0.01234", "1.2e-5", "12.5k"; a dash for none. */
export function formatNumber(value: number | null | undefined, digits = 4): string {
  if (value === null || value === undefined || !Number.isFinite(value)) return '–';
  const size = Math.abs(value);
  if (size === 0) return '0';
  if (size < 1e-3) return signed(value.toExponential(2).replace(/\.?0+e/, 'e'));
  if (size >= 999_950) return signed(`${Number((value / 1e6).toPrecision(4))}M`);
  if (size >= 99_995) return signed(`${Number((value / 1e3).toPrecision(4))}k`);
  if (size >= 9_999.5) return signed(String(Math.round(value)));
  return signed(String(Number(value.toPrecision(digits))));
}

/** A whole number with its thousands set apart: "125,000". */
export function formatCount(value: number): string {
  return Math.round(value).toLocaleString('en-US');
}

/** A typographic minus sign. */
function signed(text: string): string {
  return text.startsWith('-') ? `−${text.slice(1)}` : text;
}

function roundStep(raw: number): number {
  const power = 10 ** Math.floor(Math.log10(raw));
  const digit = raw / power;
  return power * (digit <= 1 ? 1 : digit <= 2 ? 2 : digit <= 5 ? 5 : 10);
}
