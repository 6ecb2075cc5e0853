// The charts of one run: which quantities are shown together, and what each means.

import type { Chart, Series, Values } from './chart.js';
import type { MetricsLine } from './metrics.js';

const MOST_DOTS = 1500;

/** The charts of a run in reading order; each has its place even when there is nothing to draw yet. */
export function runCharts(lines: MetricsLine[]): { chart: Chart; wide?: boolean }[] {
  const xMax = lines.at(-1)?.environmentSteps ?? 0;
  const x = lines.map((line) => line.environmentSteps);
  const series = (
    name: string,
    color: number,
    pick: (line: MetricsLine) => number | null,
    style?: Series['style'],
  ): Series => ({ name, color, x, y: lines.map(pick), style });
  return [
    { chart: { ...returns(lines), xMax }, wide: true },
    { chart: { ...horizons(lines), xMax } },
    {
      chart: {
        title: 'Model error',
        about: 'L2 distance of predicted and real next state on transitions that the model had not seen',
        series: [series('newest 250 transitions', 2, (line) => line.modelError)],
        scale: 'auto',
        xMax,
      },
    },
    {
      chart: {
        title: 'Model holdout loss',
        about: "The elite members' loss on transitions held out of the ensemble's last training",
        series: [series('holdout loss', 1, (line) => line.modelHoldoutLoss)],
        scale: 'auto',
        xMax,
      },
    },
    {
      chart: {
        title: 'Uncertainty',
        about:
          "The ensemble's disagreement on the first imagined step; above the threshold a trajectory is cut",
        series: [
          series('mean u', 4, (line) => line.uncertainty),
          series('threshold', 6, (line) => line.uncertaintyThreshold, 'dashed'),
        ],
        scale: 'linear',
        xMax,
      },
    },
    {
      chart: {
        title: 'Critic loss',
        about: 'Mean squared Bellman error of the twin critics',
        series: [series('critic loss', 5, (line) => line.criticLoss)],
        scale: 'auto',
        xMax,
      },
    },
    {
      chart: {
        title: 'Value and objective',
        about: "The critics' mean Q and the objective that the policies climb, both discounted soft returns",
        series: [
          series('mean Q', 1, (line) => line.qMean),
          series('policy objective', 2, (line) => line.policyObjective),
        ],
        scale: 'linear',
        xMax,
      },
    },
    {
      chart: {
        title: 'Entropy',
        about: 'Mean entropy of the acting policy π₀, in nats',
        series: [series('entropy', 3, (line) => line.entropy)],
        scale: 'linear',
        unit: ' nats',
        xMax,
      },
    },
    { chart: { ...timeSplit(lines), xMax }, wide: true },
    {
      chart: {
        title: 'Speed',
        about: 'Gradient updates a second',
        series: [series('updates', 1, (line) => line.updatesPerSecond)],
        unit: '/s',
        scale: 'zero',
        xMax,
      },
    },
  ];
}

type Content = Omit<Chart, 'xMax'>;

function returns(lines: MetricsLine[]): Content {
  const evaluated = lines.flatMap(({ environmentSteps, evaluation }) =>
    evaluation === null ? [] : [{ environmentSteps, ...evaluation }],
  );
  const at = evaluated.map((line) => line.environmentSteps);
  const episodes = evaluated.reduce((sum, { returns }) => sum + returns.length, 0);
  return {
    title: 'Return',
    about:
      'Return of an episode: while training, with exploration; in evaluation, the mean action (band: ± one standard deviation, dots: episodes)',
    series: [
      {
        name: 'evaluation',
        color: 1,
        x: at,
        y: evaluated.map(({ mean }) => mean),
        spread: evaluated.map(({ sd }) => sd),
        band: {
          low: evaluated.map(({ mean, sd }) => mean - sd),
          high: evaluated.map(({ mean, sd }) => mean + sd),
        },
      },
      {
        name: 'training',
        color: 2,
        x: lines.map((line) => line.environmentSteps),
        y: lines.map((line) => line.trainReturn),
      },
    ],
    dots:
      episodes <= MOST_DOTS
        ? {
            color: 1,
            x: evaluated.flatMap(({ environmentSteps, returns }) => returns.map(() => environmentSteps)),
            y: evaluated.flatMap(({ returns }) => returns),
          }
        : undefined,
    scale: 'zero',
  };
}

function horizons(lines: MetricsLine[]): Content {
  return {
    title: 'Horizon',
    about:
      'Imagined steps before a trajectory is cut: the mean over the batch, and in the background the share of each length',
    series: [
      {
        name: 'mean horizon',
        color: 2,
        x: lines.map((line) => line.environmentSteps),
        y: lines.map((line) => line.horizon),
      },
    ],
    cells: horizonCells(lines),
    scale: 'zero',
  };
}

function horizonCells(lines: MetricsLine[]): NonNullable<Chart['cells']> {
  return lines.flatMap(({ environmentSteps, horizonHistogram }, i) => {
    const sum = horizonHistogram?.reduce((a, b) => a + b, 0) ?? 0;
    if (horizonHistogram === null || sum === 0) return [];
    return [
      {
        from: i === 0 ? 0 : lines[i - 1].environmentSteps,
        to: environmentSteps,
        shares: horizonHistogram.map((count) => count / sum),
      },
    ];
  });
}

function timeSplit(lines: MetricsLine[]): Content {
  const total = lines.at(-1)?.seconds ?? 0;
  const [divisor, unit] = total > 7200 ? [3600, ' h'] : total > 120 ? [60, ' min'] : [1, ' s'];
  const parts: [string, number, (line: MetricsLine) => number][] = [
    ['environment', 3, (line) => line.timeSplit.environment],
    ['model', 2, (line) => line.timeSplit.model],
    ['critic', 5, (line) => line.timeSplit.critic],
    ['policy', 1, (line) => line.timeSplit.policy],
    ['evaluation', 4, (line) => line.timeSplit.evaluation],
    [
      'other',
      6,
      ({ seconds, timeSplit: split }) =>
        Math.max(0, seconds - Object.values(split).reduce((sum, part) => sum + part, 0)),
    ],
  ];
  let base: Values = lines.map(() => 0);
  const series = parts.map(([name, color, pick]): Series => {
    const shown = lines.map((line) => Number((pick(line) / divisor).toPrecision(3)));
    const layer: Series = {
      name,
      color,
      x: lines.map((line) => line.environmentSteps),
      y: lines.map((line, i) => pick(line) / divisor + base[i]!),
      shown,
      base,
    };
    base = layer.y;
    return layer;
  });
  return {
    title: 'Where the time went',
    about: 'Wall time so far, by what it was spent on',
    series,
    unit,
    scale: 'zero',
  };
}
