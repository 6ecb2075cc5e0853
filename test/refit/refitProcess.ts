// A refit in a process of its own, to be killed: says 'updating' once it is past reading.
import { refit } from '../../trainer/refit/refit.js';
import { CompiledEngine } from '../../trainer/tensor/engine.js';

const [from, data, out, updates] = process.argv.slice(2);
const engine = new CompiledEngine({ threads: 1, device: 'cpu' });
await refit({ from, data, out, updates: Number(updates) }, engine, {
  onUpdate: (done) => {
    if (done === 1) process.stdout.write('updating\n');
  },
});
