// Start states: the noise of Gymnasium's version 4, by its source, on every position and velocity.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Random } from '../../trainer/random.js';
import { Physics } from '../../trainer/sim/physics.js';
import { loadTask, taskNames } from '../../trainer/sim/task.js';
import { World } from '../../trainer/sim/world.js';

type Noise = ['uniform' | 'normal', number];
const GYMNASIUM: Record<string, { position: Noise; velocity: Noise }> = {
  'inverted-pendulum': { position: ['uniform', 0.01], velocity: ['uniform', 0.01] },
  hopper: { position: ['uniform', 0.005], velocity: ['uniform', 0.005] },
  walker2d: { position: ['uniform', 0.005], velocity: ['uniform', 0.005] },
  'half-cheetah': { position: ['uniform', 0.1], velocity: ['normal', 0.1] },
  ant: { position: ['uniform', 0.1], velocity: ['normal', 0.1] },
  humanoid: { position: ['uniform', 0.01], velocity: ['uniform', 0.01] },
};
const RESETS = 300;

for (const name of taskNames) {
  test(`start states: ${name}`, async () => {
    const task = await loadTask(name);
    const physics = await Physics.create(task);
    const start = physics.snapshot();
    physics.capture(start);
    physics.dispose();
    const world = await World.create(task);
    const random = new Random(1);
    const seen = { position: [] as number[][], velocity: [] as number[][] };
    for (let i = 0; i < RESETS; i++) {
      world.reset(random);
      const { qpos, qvel } = world.state();
      // An orientation is brought back to unit length.
      const free = qpos.length > qvel.length;
      const offsets = Array.from(qpos, (value, d) => value - start.qpos[d]);
      seen.position.push(offsets.filter((_, d) => !free || d < 3 || d > 6));
      seen.velocity.push(Array.from(qvel, (value, d) => value - start.qvel[d]));
    }
    world.dispose();
    for (const part of ['position', 'velocity'] as const) {
      const [distribution, scale] = GYMNASIUM[name][part];
      const all = seen[part].flat().map((value) => value / scale);
      const farthest = Math.max(...all.map(Math.abs));
      const deviation = Math.hypot(...all) / Math.sqrt(all.length);
      const mean = all.reduce((sum, value) => sum + value, 0) / all.length;
      const wanted = distribution === 'uniform' ? 1 / Math.sqrt(3) : 1;
      assert.ok(Math.abs(deviation / wanted - 1) < 0.1, `${part}: deviation ${deviation} of ${scale}`);
      assert.ok(Math.abs(mean) < 0.1 * wanted, `${part}: mean ${mean}`);
      if (distribution === 'uniform')
        assert.ok(farthest <= 1 && farthest > 0.95, `${part}: up to ${farthest}`);
      else assert.ok(farthest > 2.2, `${part}: never beyond ${farthest} deviations`);
      for (let d = 0; d < seen[part][0].length; d++)
        assert.ok(new Set(seen[part].map((row) => row[d])).size > RESETS / 2, `${part} ${d} has no noise`);
    }
  });
}
