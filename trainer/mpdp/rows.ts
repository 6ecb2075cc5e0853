// Rows of a matrix that lies in one flat array: copied, gathered, cut to their first numbers.

/** By a loop: rows are short, and views of them cost more than their numbers. */
export function copyRow(
  from: Float32Array,
  row: number,
  to: Float32Array,
  place: number,
  size: number,
): void {
  for (let d = 0; d < size; d++) to[place * size + d] = from[row * size + d];
}

/** The rows of these numbers, in their order. */
export function gathered(source: Float32Array, rows: Int32Array, size: number): Float32Array {
  const out = new Float32Array(rows.length * size);
  for (const [i, row] of rows.entries()) copyRow(source, row, out, i, size);
  return out;
}

/** The first `count` of `size` numbers of every row. */
export function columns(rows: Float32Array, size: number, count: number): Float32Array {
  return count === size ? rows : rows.filter((_, i) => i % size < count);
}
