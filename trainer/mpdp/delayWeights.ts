// How much of which action is in force over a control period, when commands take effect late.

/** Delays in control periods that differ by less are the same. */
const SAME = 1e-6;

/**
 * How much the action of now, of one period ago, … is in force over one period, at a delay in control periods. Each
 * action is held for a period, so that a delay of 1.25 takes three quarters of the last action and a quarter of the one
 * before: [0, 0.75, 0.25].
 */
export function delayWeights(delay: number): number[] {
  const whole = Math.floor(delay + SAME);
  const part = Math.max(0, delay - whole);
  return [...new Array<number>(whole).fill(0), 1 - part, ...(part > SAME ? [part] : [])];
}

/** What acts over a period, of plain numbers: `actions` are those of now, of one period ago, …, as many as there are weights. */
export function mixed(weights: readonly number[], actions: readonly ArrayLike<number>[]): Float32Array {
  return Float32Array.from(actions[0], (_, i) =>
    weights.reduce((sum, weight, k) => sum + weight * actions[k][i], 0),
  );
}
