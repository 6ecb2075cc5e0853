// farsight experiment: what a figure says is the mean and deviation of its runs' own metrics; runs are made once.
import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { readMetrics } from '../../trainer/report/metrics.js';
import { drawPaperFigure, PAPER_FIGURES } from '../../trainer/report/paperFigures.js';
import { formatNumber } from '../../trainer/report/scale.js';
import { startCommand } from '../fixtures/command.js';
import { temporaryDirectory } from '../fixtures/policy.js';
import { tinyRun } from '../mpdp/tiny.js';
import { sampleLines } from '../report/sampleRun.js';

const directory = temporaryDirectory();

/** Rows of the page's table. */
const rowsOf = (html: string) =>
  [...html.matchAll(/<tr>(.*?)<\/tr>/g)]
    .slice(1)
    .map(([, row]) => [...row.matchAll(/<t[hd]>(.*?)<\/t[hd]>/g)].map(([, cell]) => cell));

test('curves are means over the seeds with sample deviations, where every seed was measured', () => {
  const runOf = (name: string, errors: number[]) => {
    const run = join(directory, name);
    mkdirSync(run);
    const lines = sampleLines({ seed: 1, steps: 250 * errors.length, halfway: 1000, horizonMax: 5 });
    const own = lines.map((line, i) => ({ ...line, modelError: errors[i], horizon: errors[i] / 10 }));
    writeFileSync(join(run, 'metrics.jsonl'), own.map((line) => `${JSON.stringify(line)}\n`).join(''));
    return run;
  };
  // Twenty measurements: a tenth is two of them. The second seed goes further.
  const down = (from: number, count = 20) => Array.from({ length: count }, (_, i) => from - i);
  const curves = [
    { value: 0.2, runs: [runOf('a', down(100)), runOf('b', down(104, 30))] },
    { value: 0.5, runs: [runOf('c', down(50)), join(directory, 'not yet')] },
    { value: 0.7, runs: [join(directory, 'nor this')] },
  ];
  const { html, svg } = drawPaperFigure(PAPER_FIGURES['model-error'], curves, ['a fact']);
  assert.deepEqual(rowsOf(html), [
    // 99.5 and 103.5, then 81.5 and 85.5: √8 apart.
    ['β = 0.2', '2', '250 to 5,000', '101.5 ± 2.83', '83.5 ± 2.83'],
    ['β = 0.5', '1', '250 to 5,000', '49.5 ± 0', '31.5 ± 0'],
  ]);
  const horizons = drawPaperFigure(PAPER_FIGURES.horizon, curves.slice(0, 1), []);
  assert.deepEqual(rowsOf(horizons.html), [
    ['u_T margin = 0.2', '2', '250 to 5,000', '10.15 ± 0.283', '8.35 ± 0.283'],
  ]);
  assert.match(svg, /Figure 3: model error over training/);
  assert.match(svg, /β = 0\.2 \(2 seeds\).*\n?.*β = 0\.5 \(1 seed\)/);
});

test('figures 3 and 4 come from the same runs, by their commands', async () => {
  const out = join(directory, 'figures');
  const { steps: _, regularization: __, ...options } = { ...tinyRun, warmupSteps: 40 };
  const experiment = (figure: string, ...more: string[]) =>
    startCommand([
      ...['experiment', figure, '--out', out, '--task', 'inverted-pendulum', '--preset', 'smoke', '--json'],
      ...['--steps', '120', '--seeds', '1', '--threads', '1'],
      ...Object.entries(options).flatMap(([key, value]) => ['--set', `${key}=${JSON.stringify(value)}`]),
      ...more,
    ]).ended;
  const first = await experiment('model-error');
  assert.equal(first.code, 0, first.stderr);
  const metrics = (beta: number) =>
    join(out, `regularization=${beta}`, 'inverted-pendulum-1', 'metrics.jsonl');
  const made = [0.2, 0.5, 0.7].map((beta) => statSync(metrics(beta)).mtimeMs);
  const second = await experiment('beta');
  assert.equal(second.code, 0, second.stderr);
  assert.deepEqual(
    [0.2, 0.5, 0.7].map((beta) => statSync(metrics(beta)).mtimeMs),
    made,
  );
  const { page, picture } = JSON.parse(second.stdout.trim().split('\n').at(-1)!);
  const returns = [0.2, 0.5, 0.7].map((beta) => {
    const evaluations = readMetrics(metrics(beta)).flatMap(({ evaluation }) => evaluation?.mean ?? []);
    return `${formatNumber(evaluations.at(-1))} ± 0`;
  });
  assert.deepEqual(
    rowsOf(readFileSync(page, 'utf8')).map((row) => row.at(-1)),
    returns,
  );
  if (picture) assert.equal(readFileSync(picture).toString('latin1', 1, 4), 'PNG');
  assert.ok(existsSync(join(out, 'model-error.html')));

  const refused = await experiment('beta', '--set', 'regularization=1');
  assert.equal(refused.code, 2);
  assert.match(refused.stderr, /^error: --set regularization: the figure compares 0\.2, 0\.5, 0\.7$/m);
});

test('of runs that all failed there is no figure', async () => {
  const out = join(directory, 'failed');
  mkdirSync(out);
  for (const beta of [0.2, 0.5, 0.7]) writeFileSync(join(out, `regularization=${beta}`), '');
  const flags = ['--out', out, '--task', 'inverted-pendulum', '--preset', 'smoke', '--seeds', '1', '--json'];
  const { code, stdout } = await startCommand(['experiment', 'beta', ...flags]).ended;
  const { failed, page, picture } = JSON.parse(stdout.trim().split('\n').at(-1)!);
  assert.deepEqual([code, failed, page, picture], [1, 3, null, null]);
  assert.equal(existsSync(join(out, 'beta.html')), false);
});
