// refit.html: what a refit found and decided, in pictures and words, on one page that stands alone.
import type { Replay } from '../mpdp/replay.js';
import type { Chart } from '../report/chart.js';
import { escapeHtml, figure, page } from '../report/page.js';
import { formatCount, formatNumber, linearScale } from '../report/scale.js';
import type { Task } from '../sim/task.js';
import { spreadOf } from './modelReturn.js';
import { pairedBars, type Surprise, surpriseMap, tellingPair } from './refitPictures.js';
import type { RefitResult } from './refitResult.js';

/** More dots are neither seen nor needed. */
const MOST_DOTS = 1500;

/**
 * The page of a refit. `before` and `after` `[heldOut.size, n]` are what the model left of the held-out transitions'
 * next observations.
 */
export function refitPage(
  result: RefitResult,
  task: Task,
  heldOut: Replay,
  before: Float64Array,
  after: Float64Array,
): string {
  const names = [
    ...result.termErrors.map(({ term }) => term),
    ...task.action.map(({ joint, kind }) => `${joint} ${kind} in force (−1 to 1)`),
  ];
  const rows = Array.from({ length: heldOut.size }, (_, i) => heldOut.row(i).subarray(0, names.length));
  const seen = surprises(heldOut, before, after);
  const pair = tellingPair(rows, seen.before);
  const stride = Math.ceil(rows.length / MOST_DOTS);
  const dots = (sizes: Float64Array): Surprise[] =>
    rows.flatMap((row, i) =>
      i % stride === 0 ? [{ x: row[pair[0]], y: row[pair[1]], size: sizes[i] }] : [],
    );
  const axes = pair.map((d) => {
    const [low, high] = rangeOf(rows.map((row) => row[d]));
    return { name: names[d], scale: linearScale(low, high, 5) };
  });
  const largest = Math.max(rangeOf(seen.before)[1], rangeOf(seen.after)[1]);
  const body = `<header>
<h1>Refit of ${escapeHtml(task.name)}</h1>
<p>${result.accepted ? 'Accepted' : 'Rejected'} after ${formatCount(result.updates)} updates · ${formatCount(result.transitions.training)} transitions of the robot learned from, ${formatCount(result.transitions.heldOut)} held out</p>
</header>
<h2>The verdict</h2>
${verdict(result)
  .map((sentence) => `<p>${escapeHtml(sentence)}</p>`)
  .join('\n')}
<section class="charts" style="margin-top:16px">
${pairedBars(
  'One-step error of each term, held out',
  'Mean absolute error of each term on transitions that the model has not seen, before and after',
  result.termErrors.map(({ term, ...errors }) => ({ name: term, ...errors })),
)}
${surpriseMap(`Surprise before: ${axes.map(({ name }) => name).join(', ')}`, axes[0], axes[1], dots(seen.before), largest)}
${surpriseMap('Surprise after, same dots', axes[0], axes[1], dots(seen.after), largest)}
${result.latency ? figure(latencyChart(result.latency)) : ''}
${pairedBars(
  'Return in the fitted model, through each member',
  "Mean return of ten episodes of the old and the new policy in the model fitted to the robot, through each of the model's members",
  result.returnInModel.before.byMember.map((before, k) => ({
    name: `member ${k + 1}`,
    before,
    after: result.returnInModel.after.byMember[k],
  })),
  true,
)}
</section>
<p><small>A dot of the two maps is a held-out transition of the robot; its size and shade are the distance of predicted and
real next observation, each term in standard deviations of its change. The two axes are those, of all terms and actions,
that tell most about where the surprise is. Written by Farsight ${new Date().toISOString().slice(0, 16).replace('T', ' ')} UTC.</small></p>`;
  return page(`Refit of ${task.name} · Farsight`, body);
}

/** What was decided, why, and what is known of the robot now. */
function verdict({ accepted, latency, modelError, ...result }: RefitResult): string[] {
  const { returnInModel, updates } = result;
  const gain = improvement(result);
  const percent = (100 * (1 - modelError.after / modelError.before)).toFixed(0);
  const sure = gain.low > 0 ? ', a gain' : gain.high < 0 ? ', a loss' : ', which may as well be none';
  const sentences = [
    accepted
      ? `The new policy is accepted: after ${formatCount(updates)} updates it has not lost more than 5 % of the return in simulation, nor in the model fitted to the robot.`
      : 'The new policy is rejected: it lost more than 5 % of the return in simulation or in the model fitted to the robot. Deploy the old one.',
    `Return in simulation, without the robot's differences: ${formatNumber(result.return.before)} before, ${formatNumber(result.return.after)} after.`,
    `Predicted for the robot, in the model fitted to it: ${formatNumber(returnInModel.before.mean)} before, ${formatNumber(returnInModel.after.mean)} after; the difference is ${formatNumber(gain.mean)}, between ${formatNumber(gain.low)} and ${formatNumber(gain.high)} by what the model's members disagree about (95 %)${sure}.`,
    `On transitions of the robot that it has not seen, the model's error ${modelError.after < modelError.before ? `fell by ${percent} %` : 'did not fall'}: ${formatNumber(modelError.before)} before, ${formatNumber(modelError.after)} after.`,
  ];
  if (!latency)
    return [
      ...sentences,
      'How late commands take effect is unknown: too few transitions follow one another.',
    ];
  const ms = (seconds: number) => `${(1000 * seconds).toFixed(1)} ms`;
  return [
    ...sentences,
    `Commands take effect ${ms(latency.seconds)} late (95 %: ${ms(latency.interval[0])} to ${ms(latency.interval[1])}), ${ms(latency.sensorAge)} of it the age of the sensors' readings by their stamps. ${
      latency.applied
        ? 'The refit has planned with it. A policy that does not see its own last commands can only act more carefully for it; it cannot act earlier than it sees.'
        : 'That is not long and sure enough for the refit to plan with it.'
    }`,
  ];
}

/** Of the return in the model, member by member; with its 95 % interval by Student's t. */
export function improvement({ returnInModel: { before, after } }: Pick<RefitResult, 'returnInModel'>) {
  const differences = after.byMember.map((value, k) => value - before.byMember[k]);
  const { mean, sd } = spreadOf(differences);
  const half = (sd / Math.sqrt(differences.length)) * studentT(differences.length - 1);
  return { mean, low: mean - half, high: mean + half };
}

/** The 97.5 % quantile of Student's t. */
function studentT(freedom: number): number {
  const table = [12.71, 4.3, 3.18, 2.78, 2.57, 2.45, 2.36, 2.31, 2.26];
  return table[freedom - 1] ?? 2.2;
}

/** However many they are. */
function rangeOf(values: ArrayLike<number>): [low: number, high: number] {
  let [low, high] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
  for (let i = 0; i < values.length; i++) {
    low = Math.min(low, values[i]);
    high = Math.max(high, values[i]);
  }
  return [low, high];
}

/** Of each transition: the distance of predicted and real next observation, in standard deviations of the changes. */
function surprises(heldOut: Replay, before: Float64Array, after: Float64Array) {
  const { observationSize: n, actionSize: m, size } = heldOut;
  const sd = Array.from({ length: n }, (_, d) => {
    const changes = Array.from({ length: size }, (_, i) => {
      const row = heldOut.row(i);
      return row[n + m + 1 + d] - row[d];
    });
    return spreadOf(changes).sd || 1;
  });
  const lengths = (residuals: Float64Array) =>
    Float64Array.from({ length: size }, (_, i) =>
      Math.hypot(...sd.map((unit, d) => residuals[i * n + d] / unit)),
    );
  return { before: lengths(before), after: lengths(after) };
}

function latencyChart({ scores, seconds, interval }: NonNullable<RefitResult['latency']>): Chart {
  const x = scores.map((score) => 1000 * score.seconds);
  const y = scores.map(({ error }) => error);
  const [low, high] = [Math.min(...y), Math.max(...y)];
  return {
    title: `Latency: ${(1000 * seconds).toFixed(1)} ms`,
    about:
      'Squared error that is left of held-out transitions of the robot when commands are shifted by so many ms; 1 is the variance of what changed',
    series: [
      { name: 'error left', color: 1, x, y },
      { name: 'best', color: 2, x: [1000 * seconds, 1000 * seconds], y: [low, high], style: 'dashed' },
      {
        name: '95 %',
        color: 4,
        x: interval.map((bound) => 1000 * bound),
        y: [low, low],
        band: { low: [low, low], high: [high, high] },
      },
    ],
    scale: 'linear',
    xMax: x.at(-1)!,
    xName: 'ms',
    quiet: true,
  };
}
