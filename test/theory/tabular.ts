// An exact solver for finite Markov decision processes with entropy: what the paper's theorems are tested on.
import type { Random } from '../../trainer/random.js';

/** A finite MDP; matrices are rows of states. */
export interface FiniteMdp {
  states: number;
  actions: number;
  /** `transition[s][a][s']`, each row a distribution. */
  transition: number[][][];
  /** `reward[s][a]`. */
  reward: number[][];
  discount: number;
  /** Weight of the entropy, α > 0. */
  temperature: number;
}

/** `policy[s][a]`: a distribution over actions in each state. */
export type Policy = number[][];
export type Values = number[];

/** `Q(s, a) = r(s, a) + γ Σ P(s'|s, a) V(s')` (Equation 3). */
export function actionValues(mdp: FiniteMdp, values: Values): number[][] {
  return mdp.reward.map((row, s) =>
    row.map((reward, a) => reward + mdp.discount * dot(mdp.transition[s][a], values)),
  );
}

/** `V^π` (Equation 2 with α): the solution of `V = Σ_a π (r − α log π + γ P V)`, by elimination. */
export function evaluate(mdp: FiniteMdp, policy: Policy): Values {
  const { states, discount, temperature } = mdp;
  const system = policy.map((row, s) => {
    const equation = new Array<number>(states + 1).fill(0);
    equation[s] = 1;
    row.forEach((probability, a) => {
      for (let next = 0; next < states; next++) {
        equation[next] -= discount * probability * mdp.transition[s][a][next];
      }
      equation[states] += probability * mdp.reward[s][a];
    });
    equation[states] += temperature * entropy(row);
    return equation;
  });
  return solve(system);
}

/** The best that `steps` free actions from each state can do before `old` takes over. */
export interface Plan {
  /** `J^H_s(π^H_s)` of Equation 6, for each state. */
  objective: Values;
  /** The optimal policy of each of the H steps; they depend on the step and the state reached alone. */
  policies: Policy[];
  /** The first step's policy in each state: what distillation keeps, `π_new`. */
  distilled: Policy;
}

/** Maximises `J^H` (Equation 6 with α and γ^H) from every state at once, by backward recursion from `V^old`. */
export function plan(mdp: FiniteMdp, valuesOld: Values, steps: number): Plan {
  let objective = valuesOld;
  const policies: Policy[] = [];
  for (let step = 0; step < steps; step++) {
    const q = actionValues(mdp, objective);
    policies.unshift(q.map((row) => softmax(row, mdp.temperature)));
    objective = q.map((row) => softMaximum(row, mdp.temperature));
  }
  return { objective, policies, distilled: policies[0] };
}

/** Where Algorithm 1 leaves a trajectory before its H steps are done. */
export interface Ends {
  /** `unsure[s][a]`: after such a step `V^old` takes over. */
  unsure?: boolean[][];
  /** `terminal[s]`: nothing comes after such a state. */
  terminal?: boolean[];
}

/** `J^H_s(π)` of Equation 6 for any policies of the H steps, by expectation along them. */
export function objectiveOf(
  mdp: FiniteMdp,
  valuesOld: Values,
  policies: readonly Policy[],
  { unsure, terminal }: Ends = {},
): Values {
  const alive = (values: Values) => values.map((value, s) => (terminal?.[s] ? 0 : value));
  const taken = actionValues(mdp, alive(valuesOld));
  return policies.reduceRight((values, policy) => {
    const q = actionValues(mdp, alive(values));
    return policy.map((row, s) => {
      const gains = q[s].map((value, a) => (unsure?.[s][a] ? taken[s][a] : value));
      return dot(row, gains) + mdp.temperature * entropy(row);
    });
  }, valuesOld);
}

/** `V*`, the value of the optimal maximum-entropy policy: soft value iteration to the last bit. */
export function optimalValues(mdp: FiniteMdp): Values {
  let values = new Array<number>(mdp.states).fill(0);
  for (let sweep = 0; sweep < 100_000; sweep++) {
    const next = actionValues(mdp, values).map((row) => softMaximum(row, mdp.temperature));
    const change = largestDifference(next, values);
    values = next;
    if (change < 1e-14 * (1 + Math.max(...values.map(Math.abs)))) return values;
  }
  throw new Error('soft value iteration does not converge');
}

/** `α log Σ exp(x / α)`. */
export function softMaximum(values: readonly number[], temperature: number): number {
  const top = Math.max(...values);
  return top + temperature * Math.log(sum(values.map((x) => Math.exp((x - top) / temperature))));
}

export function softmax(values: readonly number[], temperature: number): number[] {
  const top = Math.max(...values);
  const weights = values.map((x) => Math.exp((x - top) / temperature));
  const total = sum(weights);
  return weights.map((weight) => weight / total);
}

/** `−Σ p log p`, with 0 log 0 = 0. */
export function entropy(distribution: readonly number[]): number {
  return -sum(distribution.map((p) => (p > 0 ? p * Math.log(p) : 0)));
}

export function largestDifference(a: Values, b: Values): number {
  return Math.max(...a.map((value, i) => Math.abs(value - b[i])));
}

/** How a random MDP's transitions spread. */
export type Spread = 'dense' | 'sparse' | 'deterministic';

/** A random MDP with rewards in `[low, high)`. */
export function randomMdp(
  random: Random,
  shape: Pick<FiniteMdp, 'states' | 'actions' | 'discount' | 'temperature'>,
  spread: Spread,
  [low, high]: readonly [number, number],
): FiniteMdp {
  const { states, actions } = shape;
  const successors = { dense: states, sparse: Math.min(states, 2), deterministic: 1 }[spread];
  const row = () => {
    const weights = new Array<number>(states).fill(0);
    for (let i = 0; i < successors; i++) {
      const next = spread === 'dense' ? i : random.integer(states);
      weights[next] += -Math.log(1 - random.uniform());
    }
    const total = sum(weights);
    return weights.map((weight) => weight / total);
  };
  const table = <T>(entry: () => T): T[][] =>
    Array.from({ length: states }, () => Array.from({ length: actions }, entry));
  return { ...shape, transition: table(row), reward: table(() => random.uniform(low, high)) };
}

/** A random policy: a uniform draw from the simplex in each state. */
export function randomPolicy(random: Random, { states, actions }: FiniteMdp): Policy {
  return Array.from({ length: states }, () => {
    const weights = Array.from({ length: actions }, () => -Math.log(1 - random.uniform()));
    const total = sum(weights);
    return weights.map((weight) => weight / total);
  });
}

/** The unlucky policy: in each state, always the action that is worst even under perfect play after it. */
export function worstPolicy(mdp: FiniteMdp): Policy {
  return actionValues(mdp, optimalValues(mdp)).map((row) => {
    const worst = row.indexOf(Math.min(...row));
    return row.map((_, a) => (a === worst ? 1 : 0));
  });
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}

function dot(a: readonly number[], b: readonly number[]): number {
  let total = 0;
  for (let i = 0; i < a.length; i++) total += a[i] * b[i];
  return total;
}

/** Solves `n` equations `[coefficients…, right side]` by Gaussian elimination with partial pivoting. */
function solve(system: number[][]): number[] {
  const n = system.length;
  for (let column = 0; column < n; column++) {
    let pivot = column;
    for (let row = column + 1; row < n; row++) {
      if (Math.abs(system[row][column]) > Math.abs(system[pivot][column])) pivot = row;
    }
    [system[column], system[pivot]] = [system[pivot], system[column]];
    for (let row = column + 1; row < n; row++) {
      const factor = system[row][column] / system[column][column];
      for (let k = column; k <= n; k++) system[row][k] -= factor * system[column][k];
    }
  }
  const solution = new Array<number>(n).fill(0);
  for (let row = n - 1; row >= 0; row--) {
    const known = dot(system[row].slice(row + 1, n), solution.slice(row + 1));
    solution[row] = (system[row][n] - known) / system[row][row];
  }
  return solution;
}
