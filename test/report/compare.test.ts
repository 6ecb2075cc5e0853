// farsight compare as people call it: rliable's numbers in its table, each kind of chart as each kind of file, what it refuses.
import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { startCommand } from '../fixtures/command.js';
import { temporaryDirectory } from '../fixtures/policy.js';
import { chromium } from './chromium.js';
import { sampleLines, writeRun } from './sampleRun.js';

type Numbers = [value: number, low: number, high: number];
/** What test/peers/compare_rliable.py wrote of a label's runs. */
interface Peer {
  /** By task. */
  scores: number[][];
  interquartileMean: Numbers;
  thresholds: number[];
  /** Values, low ends, high ends. */
  profile: [number[], number[], number[]];
  improvement: Record<string, Numbers>;
}

const fixture = new URL('../../../test/report/fixtures/rliable.json', import.meta.url);
const directory = temporaryDirectory();

const sample = (seed: number) => sampleLines({ seed, steps: 1000, halfway: 400, horizonMax: 2 });

/** A run's directory, from where the commands run. */
function newRun(name: string, seed: number, lines = sample(seed), task = 'hopper'): string {
  mkdirSync(join(directory, name), { recursive: true });
  writeRun(join(directory, name), lines, { seed, task });
  return name;
}

const compare = (...args: string[]) => startCommand(['compare', ...args], { cwd: directory }).ended;

/** What a comparison writes to a file of that name. */
async function written(file: string, ...args: string[]): Promise<Buffer> {
  const { code, stderr } = await compare(...args, '--out', file);
  assert.equal(code, 0, stderr);
  return readFileSync(join(directory, file));
}

/** Ends of intervals as rliable's, whose resamples were others: within `step`, by which a share of few runs moves. */
function assertInterval(ours: Numbers, theirs: Numbers, what: string, step = 0) {
  assert.ok(Math.abs(ours[0] - theirs[0]) < 1e-12, `${what}: ${ours[0]}, rliable ${theirs[0]}`);
  // An end from our 5,000 resamples and one from its 2,000 differ by 1.8 % of the interval's width (one sigma, normal
  // statistic); 6 % are three of those, and less than the 8 % that an interval of 90 % would be off at each end.
  const within = Math.max(step, 0.06 * (theirs[2] - theirs[1])) + 1e-9;
  for (const end of [1, 2])
    assert.ok(Math.abs(ours[end] - theirs[end]) <= within, `${what}: ${ours}, rliable ${theirs}`);
}

test("the table's means, profiles and probabilities of improvement over tasks are rliable's, with their intervals", async () => {
  const peers: Record<string, Peer> = JSON.parse(readFileSync(fixture, 'utf8'));
  const given = Object.entries(peers).flatMap(([label, { scores }]) =>
    scores.flatMap((runs, task) =>
      runs.map((mean, seed) => {
        const lines = sample(seed).slice(0, 1);
        lines[0].evaluation = { mean, sd: 0, returns: [mean] };
        return `${label}=${newRun(`peers/${label}-${task}-${seed}`, seed, lines, `task-${task}`)}`;
      }),
    ),
  );
  const scales = [0, 1].flatMap((task) => ['--scale', `task-${task}=0:1`]);
  const csv = (await written('peers.csv', ...given, ...scales)).toString();
  const rows = csv.split('\n').map((line) => line.split(','));
  const numbersOf = (quantity: string, label: string, against = ''): Numbers[] =>
    rows
      .filter(
        (row) => row[0] === quantity && row[1] === 'all tasks' && row[2] === label && row[3] === against,
      )
      .map((row) => row.slice(6).map(Number) as Numbers);
  for (const [label, { interquartileMean, profile, scores, improvement }] of Object.entries(peers)) {
    assertInterval(numbersOf('interquartile mean', label).at(-1)!, interquartileMean, label);
    for (const [other, numbers] of Object.entries(improvement))
      assertInterval(
        numbersOf('probability of improvement', label, other)[0],
        numbers,
        `${label} above ${other}`,
      );
    // rliable was asked for every tenth threshold.
    for (const [i, numbers] of numbersOf('performance profile', label)
      .filter((_, i) => i % 10 === 0)
      .entries())
      assertInterval(
        numbers,
        profile.map((values) => values[i]) as Numbers,
        `${label}, threshold ${i}`,
        1 / scores.flat().length,
      );
  }
});

test('each kind of chart is drawn as SVG and as PNG, and a table has every number whatever the chart', async () => {
  const given = ['near', 'far'].flatMap((label, i) =>
    [1, 2].map((seed) => `${label}=${newRun(`charts/${label}-${seed}`, 10 * i + seed)}`),
  );
  const headings = { iqm: 'Interquartile mean over', profile: 'Performance profile,' };
  for (const [kind, heading] of Object.entries(headings)) {
    const chart = [...given, '--chart', kind];
    const svg = (await written(`${kind}.svg`, ...chart)).toString();
    assert.ok(svg.startsWith('<svg') && svg.includes(heading), kind);
    assert.equal([...svg.matchAll(/class="band/g)].length, 2, kind);
    if (chromium && kind === 'iqm') {
      const png = await written(`${kind}.png`, ...chart);
      assert.equal(png.toString('latin1', 1, 4), 'PNG');
      assert.equal(png.readUInt32BE(16), 3 * Number(/width="(\d+)"/.exec(svg)![1]));
    }
  }
  const table = await written('all.csv', ...given, '--chart', 'profile', '--goal', '-5');
  for (const quantity of [
    'return',
    'interquartile mean',
    'performance profile',
    'probability of improvement',
  ])
    assert.match(table.toString(), new RegExp(`^${quantity},hopper,near,`, 'm'));
  // A goal may be negative, as returns may.
  assert.match(table.toString(), /^steps to goal,hopper,near,,1,-5,500,,$/m);
});

test('what is no run, or is one that was given already, is refused in one line that says what to give', async () => {
  newRun('runs/one', 1);
  newRun('runs/two', 2);
  symlinkSync('one', join(directory, 'runs', 'again'));
  newRun('sweep/horizonMax=1/hopper-1', 1);
  newRun('sweep/wide net/hopper-1', 1);
  mkdirSync(join(directory, 'empty'));
  const cases: [given: string[], line: RegExp][] = [
    [['a=runs/one', 'a=runs/two', 'a=./runs/one'], /^run '\.\/runs\/one' is 'runs\/one', given already: /],
    [['a=runs/one', 'a=runs'], /^run 'runs\/again' is 'runs\/one', given already/],
    [['a=runs/one', 'b=runs/again'], /^run 'runs\/again' is 'runs\/one', given already/],
    [
      ['a=sweep'],
      /^'sweep' holds no run, its folders do: 'horizonMax 1=sweep\/horizonMax=1' 'wide net=sweep\/wide net'$/,
    ],
    [['a=empty'], /^'empty' holds no run: /],
    [['a=runs/one/config.json'], /^'runs\/one\/config\.json' is a file: give the directory of a run/],
    [['a=runs/none'], /^'runs\/none': no such directory$/],
  ];
  await Promise.all(
    cases.map(async ([given, line]) => {
      const ended = await compare(...given, '--out', 'refused.csv');
      const [first] = ended.stderr.split('\n');
      assert.match(first.replace('error: ', ''), line);
      assert.equal(ended.code, 2);
    }),
  );
});
