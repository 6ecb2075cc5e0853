// farsight rollout: steps a task from a given state through given actions, for parity checks and debugging.
import { readFile } from 'node:fs/promises';
import { text } from 'node:stream/consumers';
import { z } from 'zod';
import { FarsightError, messageOf, UsageError } from '../../contract/errors.js';
import { firstFinding } from '../../contract/schemaErrors.js';
import { command, execute } from '../command.js';

const stateSchema = z.strictObject({ qpos: z.array(z.number()), qvel: z.array(z.number()) });
const actionsSchema = z.array(z.array(z.number()));

/** What `farsight rollout --json` prints: `T` actions give `T + 1` observations and states, `T` of the others. */
export interface Rollout {
  task: string;
  /** In double precision, the initial one first. */
  observations: number[][];
  rewards: number[];
  /** Whether the task's termination holds after each step. */
  terminated: boolean[];
  states: { qpos: number[]; qvel: number[] }[];
}

interface RolloutOptions {
  task: string;
  state: string;
  actions: string;
}

/**
 * Steps `task` from the state in file `state` through every action in file `actions`, past a termination too. Throws
 * a `FarsightError` that names the file and the entry at fault.
 */
export async function rollout({ task: name, state, actions }: RolloutOptions): Promise<Rollout> {
  if (state === '-' && actions === '-') {
    throw new UsageError("--state and --actions cannot both be '-': give one of them as a file");
  }
  const { loadTask } = await import('../../trainer/sim/task.js');
  const { World } = await import('../../trainer/sim/world.js');
  const task = await loadTask(name);
  const start = await readJson('--state', state, stateSchema, '{"qpos": [...], "qvel": [...]}');
  const sequence = await readJson('--actions', actions, actionsSchema, '[[a, ...], ...]');
  const size = task.action.length;
  const wrong = sequence.findIndex((action) => action.length !== size);
  if (wrong >= 0) {
    throw new FarsightError(
      `--actions '${actions}': action ${wrong} has ${sequence[wrong].length} numbers, task '${task.name}' wants ${size}`,
    );
  }
  const world = await World.create(task);
  try {
    try {
      world.setState(start);
    } catch (error) {
      throw new FarsightError(`--state '${state}': ${messageOf(error)}`);
    }
    const result: Rollout = { task: task.name, observations: [], rewards: [], terminated: [], states: [] };
    const observation = new Float64Array(task.observation.length);
    const note = () => {
      world.observe(observation);
      const { qpos, qvel } = world.state();
      result.observations.push([...observation]);
      result.states.push({ qpos: [...qpos], qvel: [...qvel] });
    };
    note();
    for (const action of sequence) {
      const { reward, terminated } = world.step(action);
      result.rewards.push(reward);
      result.terminated.push(terminated);
      note();
    }
    return result;
  } finally {
    world.dispose();
  }
}

export function rolloutCommand() {
  return command(
    'rollout',
    'step a task from a given state through given actions; every action is taken, past a termination too',
    'farsight rollout --task inverted-pendulum --state state.json --actions actions.json --json',
  )
    .requiredOption('--task <task>', "a task's name, or the path of a task's file")
    .requiredOption('--state <file>', 'JSON file {"qpos": [...], "qvel": [...]}; - reads stdin')
    .requiredOption('--actions <file>', 'JSON file [[a, ...], ...] in actuator units; - reads stdin')
    .addHelpText(
      'after',
      `
Prints {observations, rewards, terminated, states}: observations and states begin with the initial one, rewards and
terminated have one entry a step. Actions outside the actuators' limits are clipped by the simulation.`,
    )
    .action((options: RolloutOptions & { json?: boolean }) =>
      execute(options.json, () => rollout(options), show),
    );
}

function show({ observations, rewards, terminated }: Rollout): void {
  const row = (values: number[]) => values.map((value) => value.toFixed(6).padStart(12)).join('');
  console.log(`    0${row(observations[0])}`);
  for (let i = 0; i < rewards.length; i++) {
    const end = terminated[i] ? '  terminated' : '';
    console.log(`${String(i + 1).padStart(5)}${row(observations[i + 1])}  reward ${rewards[i]}${end}`);
  }
}

async function readJson<T>(flag: string, path: string, schema: z.ZodType<T>, wanted: string): Promise<T> {
  const refuse = (why: string) => new FarsightError(`${flag} '${path}': ${why}`);
  let content: string;
  try {
    content = path === '-' ? await text(process.stdin) : await readFile(path, 'utf8');
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw refuse(code === 'ENOENT' ? 'no such file' : `cannot be read: ${messageOf(error)}`);
  }
  let json: unknown;
  try {
    json = JSON.parse(content);
  } catch (error) {
    throw refuse(`is not JSON (${messageOf(error)}); it wants ${wanted}`);
  }
  const parsed = schema.safeParse(json);
  if (!parsed.success) {
    const { path: at, message } = firstFinding(parsed.error);
    throw refuse(`${at.length > 0 ? `${at.join('.')}: ` : ''}${message}; it wants ${wanted}`);
  }
  return parsed.data;
}
