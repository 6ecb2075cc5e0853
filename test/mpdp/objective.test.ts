// The planning objective on a model that is known: J and its gradients, against plain double arithmetic and by hand.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FarsightedImprovement } from '../../trainer/mpdp/farsighted.js';
import { ImaginedStep } from '../../trainer/mpdp/imaginedStep.js';
import { type Agent, setElites } from '../../trainer/mpdp/networks.js';
import type { Options } from '../../trainer/mpdp/options.js';
import { ENTROPY_COEFFICIENT, VALUE_SCALE } from '../../trainer/nets/critic.js';
import { Random } from '../../trainer/random.js';
import { CompiledEngine } from '../../trainer/tensor/engine.js';
import { plainAgent, plan } from './plainPlanner.js';
import { scatteredAgent, tinyOptions } from './tiny.js';

const OBSERVATIONS = 3;
const ACTIONS = 2;
const NOISE_SEED = 11;
const engine = new CompiledEngine({ threads: 1, device: 'cpu' });
const isTerminal = (observation: ArrayLike<number>) => observation[0] > 1;

/** One improvement of `agent` by the learner, and J by plain arithmetic on a copy of it. */
async function both(agent: Agent, options: Options, threshold: number | null) {
  const states = new Random(3).fillNormal(new Float32Array(options.batchSize * agent.networks.stateSize));
  const plain = plainAgent(agent, options);
  const planned = () =>
    plan(plain, agent, options, { states, threshold, isTerminal, random: new Random(NOISE_SEED) });
  const expected = planned();
  const learner = await FarsightedImprovement.create(
    engine,
    agent,
    options,
    isTerminal,
    new Random(NOISE_SEED),
  );
  const actual = await learner.improve(states, threshold);
  return { plain, planned, expected, actual };
}

function assertClose(actual: number, expected: number, relative: number, what: string) {
  assert.ok(
    Math.abs(actual - expected) <= relative * Math.max(1, Math.abs(expected)),
    `${what}: ${actual}, not ${expected}`,
  );
}

const base: Options = {
  ...tinyOptions,
  horizonMax: 4,
  discount: 0.9,
  entropyCoefficient: 0.3,
  regularization: 0.7,
};
const cases: Record<string, [Partial<Options>, number | null]> = {
  'cut, terminal and whole trajectories': [{}, 2.8],
  'no entropy term': [{ entropyCoefficient: 0 }, 2.8],
  'no uncertainty term, each row its own member': [{ regularization: 0, batchSize: 16 }, 2.8],
  'one policy, no uncertainty term, constant variance, a batch that shrinks': [
    { policies: 'shared', regularization: 0, modelVariance: 'constant', batchSize: 40 },
    2.8,
  ],
  'constant variance': [{ modelVariance: 'constant' }, 2.8],
  'no discount': [{ discount: 1 }, 2.8],
  'the mean of the model': [{ modelNoise: false, batchSize: 24 }, 2.8],
  'all cut after one step': [{}, Number.NEGATIVE_INFINITY],
  'none cut': [{}, Number.POSITIVE_INFINITY],
  'one step': [{ horizonMax: 1 }, 2.8],
  'a batch that shrinks': [{ batchSize: 40 }, 2.8],
  'commands that take effect 0.6 periods late': [{ commandDelay: 0.6 }, 2.8],
  'commands that take effect 1.3 periods late, one policy, each row its own member': [
    { commandDelay: 1.3, policies: 'shared', regularization: 0, batchSize: 40 },
    2.8,
  ],
  'one policy for all steps': [{ policies: 'shared', batchSize: 40 }, 2.8],
  'one policy for all steps, each row its own member': [
    { policies: 'shared', regularization: 0, uncertaintyThreshold: null, batchSize: 40 },
    null,
  ],
  'separate policies, each row its own member': [
    { regularization: 0, uncertaintyThreshold: null, batchSize: 10 },
    null,
  ],
  'the mean of three critics, smooth and normalised networks': [
    {
      critics: 3,
      planValue: 'mean',
      activation: 'swish',
      policySpread: 'softplus',
      layerNorm: true,
      modelLayerNorm: true,
      batchSize: 40,
    },
    2.1,
  ],
};

for (const [name, [changes, threshold]] of Object.entries(cases)) {
  test(`J and its gradients: ${name}`, async () => {
    const options = { ...base, ...changes };
    const agent = scatteredAgent(OBSERVATIONS, ACTIONS, options, 6);
    const { plain, planned, expected, actual } = await both(agent, options, threshold);
    assert.deepEqual([...actual.horizons], expected.horizons);
    const steps = expected.horizons.reduce((sum, horizon) => sum + horizon, 0);
    assert.equal(actual.imaginedSteps, steps);
    assertClose(actual.meanHorizon, steps / options.batchSize, 1e-9, 'mean horizon');
    assertClose(actual.objective, expected.objective, 1e-5, 'J');
    if (threshold === null) assert.ok(Number.isNaN(actual.uncertainty));
    else assertClose(actual.uncertainty, expected.uncertainty, 1e-5, 'u');
    assertClose(actual.entropy, expected.entropy, 1e-5, 'entropy');
    if (threshold !== null && Number.isFinite(threshold) && options.horizonMax > 1) {
      const { horizons, terminal } = expected;
      const ended = (wanted: boolean, whole: boolean) =>
        horizons.some((h, row) => terminal[row] === wanted && (h === options.horizonMax) === whole);
      assert.ok(ended(true, false), 'no trajectory ends early at a terminal state');
      assert.ok(ended(false, false), 'no trajectory is cut');
      assert.ok(ended(false, true), 'no trajectory reaches Hmax');
    }
    for (const [t, policy] of agent.policies.entries()) {
      const h = 1e-5;
      for (const [array, { data }] of Object.entries(policy.gradients)) {
        const numbers = plain.policies[t][array.replace('gradient ', '')];
        const differences = Float64Array.from(numbers, (value, i) => {
          const at = (x: number) => {
            numbers[i] = x;
            return planned().objective;
          };
          const slope = (at(value + h) - at(value - h)) / (2 * h);
          numbers[i] = value;
          return slope;
        });
        const scale = Math.max(1e-2, ...differences.map(Math.abs));
        for (const [i, slope] of differences.entries()) {
          // The learner descends on -J.
          const gradient = t < Math.max(...expected.horizons) ? -data[i] : 0;
          assert.ok(
            Math.abs(gradient - slope) < 1e-4 * scale,
            `dJ/dπ${t} ${array}[${i}]: ${gradient}, not ${slope}`,
          );
        }
      }
    }
  });
}

test('J by hand: reward 1, value 5, agreement', async () => {
  const options = { ...base, horizonMax: 3, entropyCoefficient: 0, modelNoise: false };
  const agent = scatteredAgent(OBSERVATIONS, ACTIONS, options, 1);
  // Every member says reward 1 and no change; both critics say 5.
  for (const { data } of [agent.ensemble.flat, agent.critic.flat]) data.fill(0);
  for (const { data } of Object.values(agent.scales)) data.fill(1);
  for (const name of [ENTROPY_COEFFICIENT, VALUE_SCALE.centre]) agent.scales[name].data[0] = 0;
  agent.scales['model.targetMean'].data.set([1, 0, 0, 0]);
  agent.critic.arrays['critic.b1'].data.fill(5);
  const learner = await FarsightedImprovement.create(engine, agent, options, isTerminal, new Random(1));
  const penalty = 0.7 * Math.log(1e-3);
  const rewards = 1 - penalty;
  const still = new Float32Array(options.batchSize * OBSERVATIONS);
  const whole = await learner.improve(still, Number.POSITIVE_INFINITY);
  assertClose(whole.objective, rewards * (1 + 0.9 + 0.9 ** 2) + 0.9 ** 3 * 5, 1e-3, 'to Hmax');
  const cut = await learner.improve(still, Number.NEGATIVE_INFINITY);
  assertClose(cut.objective, rewards + 0.9 * 5, 1e-3, 'cut at once');
  const fallen = await learner.improve(still.fill(2), Number.POSITIVE_INFINITY);
  assertClose(fallen.objective, rewards, 1e-3, 'terminal at once');
});

test('each elite predicts its share of a batch, however few trajectories are left in it', async () => {
  const members = 4;
  const options = {
    ...base,
    ...{
      ensembleSize: members,
      elites: members,
      regularization: 0,
      entropyCoefficient: 0,
      modelNoise: false,
    },
  };
  const agent = scatteredAgent(OBSERVATIONS, ACTIONS, options, 1);
  for (const { data } of Object.values(agent.scales)) data.fill(1);
  for (const name of [ENTROPY_COEFFICIENT, 'model.targetMean']) agent.scales[name].data.fill(0);
  // Member k says reward k.
  agent.ensemble.flat.data.fill(0);
  const { data: biases } = agent.ensemble.arrays['model.b1'];
  for (let k = 0; k < members; k++) biases[(k * biases.length) / members] = k;
  setElites(agent, [0, 1, 2, 3]);
  const step = await ImaginedStep.create(engine, agent, options, 64);
  for (let count = 1; count <= 64; count++) {
    const slots = step.slots(count);
    const states = new Float32Array(count * OBSERVATIONS);
    const { gain } = await step.forward(0, states, slots, new Random(1));
    const shares = new Array<number>(members).fill(0);
    for (const slot of slots) shares[Math.round(gain[slot])]++;
    assert.ok(Math.max(...shares) - Math.min(...shares) <= 1, `of ${count} trajectories: ${shares}`);
  }
});
