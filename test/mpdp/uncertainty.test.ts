// The One-vs-Rest score against Eq. 8 in plain double arithmetic, at ordinary and at extreme predictions.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SCORES, type Score, uncertainty } from '../../trainer/mpdp/uncertainty.js';
import { Random } from '../../trainer/random.js';
import { NdArray } from '../../trainer/tensor/array.js';
import { CompiledEngine } from '../../trainer/tensor/engine.js';
import { tf } from '../../trainer/tensor/tf.js';

const ROWS = 16;
const DIMENSIONS = 5;
const engine = new CompiledEngine({ threads: 1, device: 'cpu' });

interface Predictions {
  members: number;
  /** `[members, ROWS, DIMENSIONS]`. */
  mean: Float32Array;
  logVariance: Float32Array;
}

function predictions(members: number, mean: (k: number) => number, logVariance: () => number): Predictions {
  const size = ROWS * DIMENSIONS;
  const fill = (draw: (k: number) => number) =>
    Float32Array.from({ length: members * size }, (_, i) => draw(Math.floor(i / size)));
  return { members, mean: fill(mean), logVariance: fill(logVariance) };
}

/** The score `[ROWS]` and the derivative of its sum by every mean. */
async function compiled({ members, mean, logVariance }: Predictions, score: Score) {
  const shape = [members, ROWS, DIMENSIONS];
  const program = await engine.program({
    name: `score ${score}`,
    inputs: { mean: shape, logVariance: shape },
    body: (t) => ({
      u: uncertainty({ mean: t.mean, logVariance: t.logVariance }, score),
      gradient: tf.grad((m) => tf.sum(uncertainty({ mean: m, logVariance: t.logVariance }, score)))(t.mean),
    }),
  });
  const outputs = program.outputs();
  await program.run(
    { mean: new NdArray(shape, mean), logVariance: new NdArray(shape, logVariance) },
    outputs,
  );
  return { u: outputs.u.data, gradient: outputs.gradient.data };
}

/** Σ over members and dimensions of KL(N_i ‖ the others' mixture, as the Gaussian of the same two moments). */
function divergence({ members, mean, logVariance }: Predictions, row: number): number {
  const at = (k: number, d: number) => (k * ROWS + row) * DIMENSIONS + d;
  let sum = 0;
  for (let d = 0; d < DIMENSIONS; d++) {
    for (let i = 0; i < members; i++) {
      const rest = Array.from({ length: members }, (_, k) => k).filter((k) => k !== i);
      const centre = rest.reduce((total, k) => total + mean[at(k, d)], 0) / rest.length;
      const spread = rest.reduce((total, k) => {
        return total + Math.exp(logVariance[at(k, d)]) + (mean[at(k, d)] - centre) ** 2;
      }, 0);
      const variance = spread / rest.length;
      const own = Math.exp(logVariance[at(i, d)]);
      const distance = (mean[at(i, d)] - centre) ** 2;
      sum += 0.5 * (Math.log(variance / own) + (own + distance) / variance - 1);
    }
  }
  return sum;
}

function expected(given: Predictions, score: Score, row: number): number {
  if (score === 'kl') return divergence(given, row);
  if (score === 'log-kl') return Math.log(divergence(given, row) + 1e-3);
  let variance = 0;
  for (let d = 0; d < DIMENSIONS; d++) {
    const means = Array.from(
      { length: given.members },
      (_, k) => given.mean[(k * ROWS + row) * DIMENSIONS + d],
    );
    const centre = means.reduce((a, b) => a + b) / given.members;
    variance += means.reduce((total, value) => total + (value - centre) ** 2, 0);
  }
  return Math.log(variance + 1e-6);
}

function assertClose(given: Predictions, u: Float32Array, score: Score, relative: number) {
  for (let row = 0; row < ROWS; row++) {
    const wanted = expected(given, score, row);
    assert.ok(
      Math.abs(u[row] - wanted) <= relative * Math.max(1, Math.abs(wanted)),
      `${score} of ${given.members} members, row ${row}: ${u[row]}, not ${wanted}`,
    );
  }
}

for (const score of SCORES) {
  for (const members of [2, 7]) {
    test(`${score} of ${members} members is Eq. 8`, async () => {
      const random = new Random(members);
      // A common offset must not cost precision.
      const given = predictions(
        members,
        () => 3 + random.normal(),
        () => random.uniform(-4, 0.5),
      );
      const { u, gradient } = await compiled(given, score);
      assertClose(given, u, score, 1e-4);
      for (const i of [0, 17, given.mean.length - 1]) {
        const row = Math.floor(i / DIMENSIONS) % ROWS;
        const h = 1e-3;
        const moved = (by: number) =>
          expected({ ...given, mean: given.mean.with(i, given.mean[i] + by) }, score, row);
        const difference = (moved(h) - moved(-h)) / (2 * h);
        assert.ok(
          Math.abs(gradient[i] - difference) < 5e-3 * Math.max(1, Math.abs(difference)),
          `gradient ${gradient[i]}, differences ${difference}`,
        );
      }
    });

    test(`${score} of ${members} members that agree is the least`, async () => {
      const given = predictions(
        members,
        () => 0.7,
        () => -3,
      );
      const least = { kl: 0, 'log-kl': Math.log(1e-3), 'log-variance': Math.log(1e-6) }[score];
      const { u, gradient } = await compiled(given, score);
      for (const value of u) assert.ok(Math.abs(value - least) < 1e-2, `${value}, not ${least}`);
      assert.ok(gradient.every(Number.isFinite));
    });

    test(`${score} of ${members} members stays finite and large far out`, async () => {
      for (const far of [30, 1e3, 1e6]) {
        // One member has gone astray; the others agree closely and are sure.
        const predicted = (astray: number) => {
          const random = new Random(members);
          return predictions(
            members,
            (k) => (k === 0 ? astray : 0.01 * random.normal()),
            () => random.uniform(-10, -9),
          );
        };
        const { u, gradient } = await compiled(predicted(far), score);
        const bad = gradient.find((value) => !Number.isFinite(value));
        assert.equal(bad, undefined, `a gradient ${far} away`);
        for (const [row, value] of u.entries()) {
          const near = expected(predicted(30), score, row);
          const above = score === 'kl' ? Math.log(value / near) : value - near;
          // In float32 a far member's square drowns how closely the others agree: less right, but never small again.
          assert.ok(
            above > -0.5 && (far > 30 || above < 0.5),
            `${far} away, row ${row}: ${value}; ${near} at 30`,
          );
        }
      }
    });
  }
}
