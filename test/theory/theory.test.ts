// The paper's Theorems 1 to 5 on random finite MDPs, with exact planning, evaluation and distillation.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Random } from '../../trainer/random.js';
import {
  actionValues,
  evaluate,
  type FiniteMdp,
  largestDifference,
  objectiveOf,
  optimalValues,
  type Policy,
  plan,
  randomMdp,
  randomPolicy,
  type Spread,
  softMaximum,
  softmax,
  type Values,
  worstPolicy,
} from './tabular.js';

const TOLERANCE = 1e-9;
const HORIZONS = [1, 2, 3, 5, 9];

interface Case {
  label: string;
  mdp: FiniteMdp;
  initial: Policy;
}

/** Random MDPs over all spreads, discounts, temperatures and kinds of initial policy, the same in every run. */
function* cases(count: number, rewards: readonly [number, number]): Generator<Case> {
  const random = new Random(20230712);
  const pick = <T>(choices: readonly T[]): T => choices[random.integer(choices.length)];
  for (let i = 0; i < count; i++) {
    const states = 2 + random.integer(6);
    const actions = 2 + random.integer(3);
    const discount = pick([0.3, 0.8, 0.9, 0.98]);
    const temperature = pick([0.01, 0.1, 0.2, 1]);
    const spread = pick<Spread>(['dense', 'sparse', 'deterministic']);
    const kind = pick(['random', 'uniform', 'worst']);
    const mdp = randomMdp(random, { states, actions, discount, temperature }, spread, rewards);
    const initial = {
      random: () => randomPolicy(random, mdp),
      uniform: () => mdp.reward.map((row) => row.map(() => 1 / actions)),
      worst: () => worstPolicy(mdp),
    }[kind as 'random']();
    const label = `MDP ${i} (${states} states, ${actions} actions, ${spread}, γ ${discount}, α ${temperature}, ${kind} policy)`;
    yield { label, mdp, initial };
  }
}

/** Asserts `a ≥ b − tolerance` at every state. */
function assertAtLeast(a: Values, b: Values, what: string): void {
  a.forEach((value, s) => {
    assert.ok(value >= b[s] - TOLERANCE, `${what} at state ${s}: ${value} < ${b[s]}`);
  });
}

/** A small MDP in which action `a` leads from `s` to `next[s][a]`. */
function deterministicMdp(given: { next: number[][]; reward: number[][]; temperature: number }): FiniteMdp {
  const states = given.next.length;
  const transition = given.next.map((row) =>
    row.map((to) => given.next.map((_, state) => Number(state === to))),
  );
  const { reward, temperature } = given;
  return { states, actions: reward[0].length, transition, reward, discount: 0.9, temperature };
}

/** The policy that takes `choice[s]` in state `s`. */
function always({ actions }: FiniteMdp, choice: number[]): Policy {
  return choice.map((taken) => Array.from({ length: actions }, (_, a) => Number(a === taken)));
}

test('the plan is the optimum of J^H: its policies attain it, no others exceed it', () => {
  const random = new Random(1);
  for (const { label, mdp, initial } of cases(100, [-1, 1])) {
    const old = evaluate(mdp, initial);
    const { objective, policies } = plan(mdp, old, 4);
    assert.ok(largestDifference(objectiveOf(mdp, old, policies), objective) < TOLERANCE, label);
    for (let trial = 0; trial < 5; trial++) {
      const others = policies.map((policy) => (random.bits() & 1 ? randomPolicy(random, mdp) : policy));
      assertAtLeast(objective, objectiveOf(mdp, old, others), label);
    }
  }
});

test('evaluation satisfies the soft Bellman equation, and following π_old on gives V^old', () => {
  for (const { label, mdp, initial } of cases(100, [-1, 1])) {
    const old = evaluate(mdp, initial);
    const followed = objectiveOf(mdp, old, [initial, initial, initial]);
    assert.ok(largestDifference(followed, old) < TOLERANCE, label);
  }
});

test('Theorem 1: V^new ≥ J^H ≥ V^old at every state', () => {
  let improved = 0;
  for (const { label, mdp, initial } of cases(300, [-1, 1])) {
    const old = evaluate(mdp, initial);
    for (const horizon of HORIZONS) {
      const { objective, distilled } = plan(mdp, old, horizon);
      const renewed = evaluate(mdp, distilled);
      assertAtLeast(objective, old, `${label}: J^${horizon} ≥ V^old`);
      assertAtLeast(renewed, objective, `${label}: V^new ≥ J^${horizon}`);
      improved += Number(largestDifference(renewed, old) > 0.01);
    }
  }
  assert.ok(improved > 1000, `only ${improved} improvements: the cases show nothing`);
});

test('Theorem 2: evaluation and improvement in turn converge to the soft-optimal value, never falling', () => {
  for (const { label, mdp, initial } of cases(150, [-1, 1])) {
    const optimal = optimalValues(mdp);
    for (const horizon of [1, 3]) {
      let values = evaluate(mdp, initial);
      for (let iteration = 0; iteration < 60; iteration++) {
        const next = evaluate(mdp, plan(mdp, values, horizon).distilled);
        assertAtLeast(next, values, `${label}: iteration ${iteration}`);
        const change = largestDifference(next, values);
        values = next;
        if (change < 1e-12) break;
      }
      const gap = largestDifference(values, optimal);
      assert.ok(gap < TOLERANCE, `${label}, H ${horizon}: ${gap} from V*`);
    }
  }
});

test('Theorem 3: J^{H+1} ≥ J^H at every state', () => {
  for (const { label, mdp, initial } of cases(300, [-1, 1])) {
    const old = evaluate(mdp, initial);
    let shorter = plan(mdp, old, 1).objective;
    for (let horizon = 2; horizon <= 10; horizon++) {
      const { objective } = plan(mdp, old, horizon);
      assertAtLeast(objective, shorter, `${label}: J^${horizon} ≥ J^${horizon - 1}`);
      shorter = objective;
    }
  }
});

/**
 * `r_max` of Theorem 4, read so that it is finite: r^π(s, a) = r − α log π(a|s) has no upper bound for a single
 * action, but its mean over π has one, max_s α log Σ_a exp(r(s, a) / α), and the proof needs the mean alone.
 */
function largestSoftReward({ reward, temperature }: FiniteMdp): number {
  return Math.max(...reward.map((row) => softMaximum(row, temperature)));
}

test('Theorem 4: J^H ≥ V* − γ^H ‖V* − V^old‖, whatever the rewards', () => {
  for (const { label, mdp, initial } of cases(300, [-1, 1])) {
    const old = evaluate(mdp, initial);
    const optimal = optimalValues(mdp);
    const gap = largestDifference(optimal, old);
    for (const horizon of HORIZONS) {
      const { objective, distilled } = plan(mdp, old, horizon);
      const bound = optimal.map((value) => value - mdp.discount ** horizon * gap);
      assertAtLeast(objective, bound, `${label}: J^${horizon}`);
      assertAtLeast(optimal, evaluate(mdp, distilled), `${label}: V* ≥ V^new, H ${horizon}`);
    }
    // So far that the bound is within 1e-11 of V*: both must have converged to it.
    const far = Math.max(1, Math.ceil(Math.log(1e-11 / gap) / Math.log(mdp.discount)));
    const { objective, distilled } = plan(mdp, old, far);
    assert.ok(largestDifference(objective, optimal) < TOLERANCE, `${label}: J^${far} → V*`);
    assert.ok(largestDifference(evaluate(mdp, distilled), optimal) < TOLERANCE, `${label}: V^new → V*`);
  }
});

test('Theorem 4 as printed: J^H ≥ V* − γ^H r_max / (1 − γ), when 0 ≤ r^π', () => {
  // Rewards of at least 0 make the mean of r^π at least 0 too, because the entropy of a finite choice is.
  for (const { label, mdp, initial } of cases(300, [0, 1])) {
    const old = evaluate(mdp, initial);
    const optimal = optimalValues(mdp);
    const largest = largestSoftReward(mdp);
    for (const horizon of HORIZONS) {
      const slack = (mdp.discount ** horizon * largest) / (1 - mdp.discount);
      const bound = optimal.map((value) => value - slack);
      assertAtLeast(plan(mdp, old, horizon).objective, bound, `${label}: J^${horizon}`);
    }
  }
});

test('Theorem 4 as printed fails where r^π is negative: V^old can be arbitrarily bad', () => {
  // State 0 is free; state 1 costs 1 a step and can be left for 0, which the old policy never does; 2 leads to 1.
  const mdp = deterministicMdp({
    next: [
      [0, 0],
      [1, 0],
      [1, 1],
    ],
    reward: [
      [0, 0],
      [-1, -1],
      [0, 0],
    ],
    temperature: 0.01,
  });
  const old = evaluate(mdp, always(mdp, [0, 0, 0]));
  const [objective, optimal] = [plan(mdp, old, 1).objective[2], optimalValues(mdp)[2]];
  const slack = (mdp.discount * largestSoftReward(mdp)) / (1 - mdp.discount);
  assert.ok(
    objective < optimal - slack - 1,
    `J^1 is ${objective}, V* ${optimal}, the printed slack ${slack}`,
  );
});

test('V^new is not monotone in H: looking two steps ahead can be worse than one', () => {
  // State 0 pays 1 a step to those who stay. The old policy leaves it for 1, a dead end to it; but from 1 a way leads
  // to 2, where even the old policy collects 0.5 a step. A plan of two steps sees 2 and leaves at once, one of three
  // sees that there is time to stay.
  const mdp = deterministicMdp({
    next: [
      [0, 1],
      [1, 2],
      [2, 1],
    ],
    reward: [
      [1, 0],
      [0, 0],
      [0.5, 0.5],
    ],
    temperature: 0.1,
  });
  const old = evaluate(mdp, always(mdp, [1, 0, 0]));
  const [one, two, three] = [1, 2, 3].map((horizon) => evaluate(mdp, plan(mdp, old, horizon).distilled)[0]);
  assert.ok(two < one - 5, `H 1 gives ${one}, H 2 gives ${two}`);
  assert.ok(three > two + 5, `H 3 gives ${three}`);
});

test('Theorem 5: a larger horizon exists whose distilled policy is at least as good at every state', () => {
  let skipped = 0;
  for (const { label, mdp, initial } of cases(150, [-1, 1])) {
    const old = evaluate(mdp, initial);
    for (const horizon of [1, 2, 4]) {
      const values = evaluate(mdp, plan(mdp, old, horizon).distilled);
      let larger = horizon + 1;
      const better = () => {
        const renewed = evaluate(mdp, plan(mdp, old, larger).distilled);
        return renewed.every((value, s) => value >= values[s] - 1e-11);
      };
      while (larger < horizon + 2000 && !better()) larger++;
      skipped += Number(larger > horizon + 1);
      assert.ok(larger < horizon + 2000, `${label}: none above ${horizon}`);
    }
  }
  assert.ok(skipped > 0, 'the next horizon always did: the cases show nothing');
});

test("H = 1 is SAC's improvement: the softmax of Q^old / α", () => {
  for (const { label, mdp, initial } of cases(100, [-1, 1])) {
    const old = evaluate(mdp, initial);
    const { distilled } = plan(mdp, old, 1);
    actionValues(mdp, old).forEach((row, s) => {
      const expected = softmax(row, mdp.temperature);
      assert.ok(largestDifference(distilled[s], expected) < TOLERANCE, `${label}, state ${s}`);
    });
  }
});
