// What a task's play says against it: sentences, each with how bad that is.
import type { Spread } from './spread.js';
import type { Task } from './task.js';

/** An `error` is wrong for any training, a `warning` most likely unwanted, a `note` good to know. */
export interface Finding {
  level: 'error' | 'warning' | 'note';
  text: string;
}

/** What was seen of a task that was played. */
export interface Played {
  /** Of each term, what a policy would see; `clipped` is the share of steps at the term's clip. */
  observation: readonly (Spread & { name: string; clipped: number })[];
  action: readonly { joint: string; moves: boolean }[];
  reward: Spread;
  /** Of each action, the share of random ones that a limit of the command's change held back. */
  held: readonly number[];
  /** Episodes that ended, of all that were played. */
  ended: number;
  /** Episodes without action: how many ended, and after how many steps. */
  rest: { terminated: number; steps: number };
  /** What is observed at a start state. */
  start: Float32Array;
}

/** From these on a number is hard on a network, or on a critic. */
const LARGE_DEVIATION = 50;
const SMALL_DEVIATION = 0.01;
const LARGE_REWARD = 100;
const CLIPPED_OFTEN = 0.1;
/** Share of random actions that limits may hold back. */
const HELD_OFTEN = 0.5;
/** An episode as short as this share of the longest leaves little to learn from. */
const SHORT_EPISODE = 0.01;

export function findings(task: Task, played: Played): Finding[] {
  const { observation, action, reward, held } = played;
  return [
    ...observation.flatMap(ofTerm),
    ...ofReward(reward),
    ...ofEndings(task, played),
    ...action.flatMap(({ joint }, i) => ofLimits(joint, held[i])),
    ...action.flatMap(({ joint, moves }) =>
      moves ? [] : error(`action '${joint}' moves nothing: its lowest and its highest value do the same`),
    ),
  ];
}

const error = (text: string): Finding[] => [{ level: 'error', text }];
const warning = (text: string): Finding[] => [{ level: 'warning', text }];
const note = (text: string): Finding[] => [{ level: 'note', text }];

function ofTerm({ name: term, low, high, sd, clipped }: Played['observation'][number]): Finding[] {
  const name = `observation '${term}'`;
  if (low === high) return warning(`${name} never moved from ${short(low)}: a policy learns nothing from it`);
  if (clipped > CLIPPED_OFTEN)
    return warning(`${name} was at its clip in ${(100 * clipped).toFixed(0)} % of the steps`);
  if (sd > LARGE_DEVIATION || sd < SMALL_DEVIATION)
    return note(
      `${name} has a deviation of ${short(sd)}: training scales it by what it sees, scale makes it near 1 from the start`,
    );
  return [];
}

function ofReward({ low, high, mean }: Spread): Finding[] {
  const found: Finding[] = [];
  if (low === 0 && high === 0)
    found.push(...warning('the reward was 0 in every step: chance never finds what it is given for'));
  else if (low === high)
    found.push(...note(`the reward was ${short(low)} in every step: what is learnt is how not to end`));
  const largest = Math.max(-low, high);
  if (largest > LARGE_REWARD) {
    found.push(
      ...warning(
        `rewards go up to ±${short(largest)} a step (mean ${short(mean)}): scale them to a few units, the critic's errors grow with them`,
      ),
    );
  }
  return found;
}

function ofEndings(task: Task, { observation, reward, ended, rest, start }: Played): Finding[] {
  const found: Finding[] = [];
  if (task.terminated(start)) found.push(...error('terminated holds at the start state already'));
  else if (rest.terminated > 0 && rest.steps <= Math.max(2, SHORT_EPISODE * task.maxEpisodeSteps))
    found.push(
      ...warning(
        `without action an episode ends after ${short(rest.steps)} steps: there is little time to learn in`,
      ),
    );
  if (ended > 0) return found;
  found.push(
    ...(canEnd(task, observation)
      ? warning(
          'no episode ended, though terminated does not always say false: is what it asks for within reach?',
        )
      : note('an episode ends at its time limit only')),
  );
  if (reward.high < 0) found.push(...note('every reward was negative, and no ending cuts that short'));
  return found;
}

/** Whether any of some impossible observations ends an episode. */
function canEnd(task: Task, seen: Played['observation']): boolean {
  const size = seen.length;
  return [1e6, -1e6, Number.NaN].some((value) =>
    Array.from({ length: size + 1 }, (_, only) => {
      const observation = Float32Array.from(seen, ({ mean }) => mean);
      for (let i = 0; i < size; i++) if (only === size || only === i) observation[i] = value;
      return observation;
    }).some((observation) => task.terminated(observation)),
  );
}

function ofLimits(joint: string, held: number): Finding[] {
  if (held <= HELD_OFTEN) return [];
  return warning(
    `action '${joint}': safety limits held back ${(100 * held).toFixed(0)} % of random actions; a plan does not see the last command and counts on all of its own: let commandRate allow more, or act less often (frameSkip)`,
  );
}

/** In three digits. */
function short(value: number): string {
  return String(Number(value.toPrecision(3)));
}
