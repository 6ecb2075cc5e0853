// Ridge regression from sums over rows. They add up: those of all folds but one are the sum of the others'.
import type { Turns } from '../turns.js';

/** Sums over rows of inputs and outputs. */
export interface Sums {
  features: number;
  outputs: number;
  /** The upper half of XᵀX, and XᵀY beside it, `[features, features + outputs]`. */
  products: Float64Array;
}

/** Of the rows from `from` up to, but without, `to`. */
export async function sumsOver(
  x: readonly Float64Array[],
  y: readonly Float64Array[],
  from: number,
  to: number,
  turns: Turns,
): Promise<Sums> {
  const [features, outputs] = [x[0].length, y[0].length];
  const products = new Float64Array(features * (features + outputs));
  for (let i = from; i < to; i++) {
    addRow(products, x[i], y[i]);
    await turns.pass();
  }
  return { features, outputs, products };
}

function addRow(products: Float64Array, input: Float64Array, output: Float64Array): void {
  const [features, outputs] = [input.length, output.length];
  for (let a = 0, at = 0; a < features; a++, at += features + outputs) {
    const value = input[a];
    for (let b = a; b < features; b++) products[at + b] += value * input[b];
    for (let d = 0; d < outputs; d++) products[at + features + d] += value * output[d];
  }
}

export function total(parts: readonly Sums[]): Sums {
  const products = parts[0].products.map((_, i) => parts.reduce((sum, part) => sum + part.products[i], 0));
  return { ...parts[0], products };
}

/**
 * W `[features, outputs]` of (XᵀX + ridge·I) W = XᵀY, the last feature (1) without ridge, by Gauss-Jordan elimination:
 * the matrix is positive definite.
 */
export function ridgeRegression({ features, outputs, products }: Sums, ridge: number): Float64Array[] {
  const width = features + outputs;
  const system = Array.from({ length: features }, (_, a) => {
    const row = products.slice(a * width, (a + 1) * width);
    for (let b = 0; b < a; b++) row[b] = products[b * width + a];
    if (a < features - 1) row[a] += ridge;
    return row;
  });
  for (let pivot = 0; pivot < features; pivot++) {
    const own = system[pivot];
    const divisor = own[pivot];
    for (let c = 0; c < own.length; c++) own[c] /= divisor;
    for (let a = 0; a < features; a++) {
      const factor = system[a][pivot];
      if (a === pivot || factor === 0) continue;
      for (let c = 0; c < own.length; c++) system[a][c] -= factor * own[c];
    }
  }
  return system.map((row) => row.slice(features));
}

/** Wᵀx. */
export function predictLinear(weights: Float64Array[], x: Float64Array): Float64Array {
  const out = new Float64Array(weights[0].length);
  for (let a = 0; a < weights.length; a++) {
    const row = weights[a];
    for (let d = 0; d < out.length; d++) out[d] += x[a] * row[d];
  }
  return out;
}
