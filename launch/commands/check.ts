// farsight check: a task played with random and extreme actions before anything is trained on it.
import type { TaskCheck } from '../../trainer/sim/checkTask.js';
import { command, execute, parse } from '../command.js';

interface Flags {
  seed: number;
  json?: boolean;
}

export function checkCommand() {
  return command(
    'check',
    'play a task with random and extreme actions, and say what a policy will see',
    'farsight check ./my-robot/task.mjs',
  )
    .argument('<task>', "a task's name, or the path of a task's file")
    .option('--seed <number>', 'of start states and actions', parse.seed, 1)
    .addHelpText(
      'after',
      `
Looks for what is not finite, actions that move nothing, endings out of reach or at once, rewards out of scale,
observations that never move, functions that do not repeat themselves. Exits with 1 when it finds an error.`,
    )
    .action((name: string, flags: Flags) =>
      execute(
        flags.json,
        async () => {
          const { loadTask } = await import('../../trainer/sim/task.js');
          const { checkTask } = await import('../../trainer/sim/checkTask.js');
          return checkTask(await loadTask(name), flags.seed);
        },
        show,
        ({ findings }) => findings.every(({ level }) => level !== 'error'),
      ),
    );
}

function show(check: TaskCheck): void {
  const { task, controlRate, episodeSeconds, steps, stepsPerSecond, reward } = check;
  console.log(
    `${task}: ${controlRate} Hz, episodes of at most ${episodeSeconds.toFixed(1)} s; ${steps} steps tried, ${stepsPerSecond.toFixed(0)} a second\n`,
  );
  table(
    ['what a policy sees', 'lowest', 'mean', 'sd', 'highest', ''],
    check.observation.map(({ name, low, mean, sd, high, clipped }) => [
      name,
      ...[low, mean, sd, high].map(number),
      clipped > 0 ? `at its clip ${(100 * clipped).toFixed(1)} %` : '',
    ]),
  );
  table(
    ['what it does', 'from', 'to', ''],
    check.action.map(({ joint, kind, limits, moves }) => [
      `${kind} ${joint}`,
      ...limits.map(number),
      moves ? '' : 'moves nothing',
    ]),
  );
  table(
    ['what happened', 'episodes', 'ended', 'steps', 'return'],
    check.manoeuvres.map(({ name, episodes, terminated, steps: mean, return: sum }) => [
      name,
      String(episodes),
      String(terminated),
      mean.toFixed(0),
      number(sum),
    ]),
  );
  console.log(
    `reward of a step  ${number(reward.low)} … ${number(reward.high)}, mean ${number(reward.mean)}, sd ${number(reward.sd)}\n`,
  );
  for (const { level, text } of check.findings) console.log(`${level.padEnd(7)}  ${text}`);
  if (check.findings.length === 0) console.log('nothing to mend');
}

function table(head: string[], rows: string[][]): void {
  const widths = head.map((title, i) => Math.max(title.length, ...rows.map((row) => row[i].length)));
  for (const row of [head, ...rows]) {
    const cells = row.map((cell, i) => (i === 0 ? cell.padEnd(widths[i]) : cell.padStart(widths[i])));
    console.log(cells.join('  ').trimEnd());
  }
  console.log();
}

function number(value: number): string {
  return Math.abs(value) >= 1e5 ? value.toExponential(1) : String(Number(value.toPrecision(3)));
}
