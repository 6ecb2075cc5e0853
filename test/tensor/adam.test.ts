// Adam in place on flat memory, against Kingma and Ba's Algorithm 1 in doubles.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { makeAdam } from '../../trainer/nets/adam.js';
import { Random } from '../../trainer/random.js';
import { Parameters } from '../../trainer/tensor/array.js';
import { CompiledEngine, EagerEngine } from '../../trainer/tensor/engine.js';
import { tf } from '../../trainer/tensor/tf.js';

tf.setBackend('cpu');
const learningRate = 0.01;

for (const [kind, engine] of [
  ['compiled', new CompiledEngine({ threads: 1, device: 'cpu' })],
  ['eager', new EagerEngine()],
] as const) {
  for (const clip of [undefined, 2]) {
    test(`${kind} Adam ${clip === undefined ? 'without clipping' : 'with clipping'} is the textbook's`, async () => {
      const parameters = new Parameters({ w: [5, 3], b: [1, 3] });
      const { flat, gradient, arrays, gradients } = parameters;
      const size = flat.data.length;
      const random = new Random(2);
      for (const { data } of Object.values(arrays)) random.fillNormal(data);
      const memory = flat.data;
      const p = Float64Array.from(flat.data);
      const [m, v] = [new Float64Array(size), new Float64Array(size)];
      const step = await makeAdam(engine, size, { learningRate, clip });
      let clipped = 0;
      for (let t = 1; t <= 20; t++) {
        // From tiny to large: ε matters for some, clipping for others.
        for (const { data } of Object.values(gradients))
          for (let i = 0; i < data.length; i++) data[i] = random.normal() * 10 ** random.integer(-8 + t);
        gradient.data[1] = 1e-8;
        const g = Float64Array.from(gradient.data);
        const norm = Math.sqrt(g.reduce((sum, value) => sum + value ** 2, 0));
        const scale = clip !== undefined && norm > clip ? clip / norm : 1;
        if (scale < 1) clipped++;
        for (let i = 0; i < size; i++) {
          m[i] = 0.9 * m[i] + 0.1 * scale * g[i];
          v[i] = 0.999 * v[i] + 0.001 * (scale * g[i]) ** 2;
          p[i] -= (learningRate * (m[i] / (1 - 0.9 ** t))) / (Math.sqrt(v[i] / (1 - 0.999 ** t)) + 1e-8);
        }
        await step(parameters);
        for (let i = 0; i < size; i++)
          assert.ok(
            Math.abs(flat.data[i] - p[i]) < 2e-6 * t,
            `step ${t}, [${i}]: ${flat.data[i]}, not ${p[i]}`,
          );
      }
      assert.equal(parameters.flat.data, memory);
      assert.equal(arrays.w.data[0], flat.data[0]);
      if (clip !== undefined) assert.ok(clipped > 0 && clipped < 20, `${clipped} steps were clipped`);
    });
  }
}
