// Whether numbers are all finite: one pass without branches, for arrays that are looked at often.

export function allFinite(values: Float32Array | Float64Array): boolean {
  // 0 times a number is 0, and NaN where that is infinite or NaN.
  let sum = 0;
  for (let i = 0; i < values.length; i++) sum += 0 * values[i];
  return sum === 0;
}
