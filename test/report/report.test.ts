// report.html and comparisons, read back from real Chromium: every chart drawn, its values those of the data.
import assert from 'node:assert/strict';
import { appendFileSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { FarsightError } from '../../contract/errors.js';
import { drawPng } from '../../launch/play/picture.js';
import { readComparison, stepsTo } from '../../trainer/report/comparison.js';
import { comparisonPage, comparisonSvg } from '../../trainer/report/comparisonPage.js';
import { condense } from '../../trainer/report/condense.js';
import { type MetricsLine, readMetrics } from '../../trainer/report/metrics.js';
import { writeReport } from '../../trainer/report/report.js';
import { formatNumber, linearScale, logScale } from '../../trainer/report/scale.js';
import { Browser, chromium } from './chromium.js';
import { sampleLines, writeRun } from './sampleRun.js';

const directory = mkdtempSync(join(tmpdir(), 'farsight-report-'));
after(() => rmSync(directory, { recursive: true, force: true }));
let runs = 0;
function newRun(): string {
  return mkdtempSync(join(directory, `run-${runs++}-`));
}
const sample = { seed: 3, steps: 5000, halfway: 1400, horizonMax: 8 };

describe('metrics.jsonl', () => {
  test('a line torn by a kill is skipped, at the end and where the run was resumed', () => {
    const run = newRun();
    const lines = sampleLines(sample);
    writeRun(run, lines, {});
    const path = join(run, 'metrics.jsonl');
    const whole = readFileSync(path, 'utf8');
    for (const cut of [1, 40, whole.length - whole.lastIndexOf('\n', whole.length - 2) - 3]) {
      writeFileSync(path, whole.slice(0, -1 - cut));
      assert.deepEqual(readMetrics(path), lines.slice(0, -1));
    }
    appendFileSync(path, `\n${JSON.stringify(lines[lines.length - 1])}\n`);
    assert.deepEqual(readMetrics(path), lines);
  });

  test('lines of a resumed run replace the steps that it repeats', () => {
    const run = newRun();
    const lines = sampleLines(sample);
    const again = sampleLines({ ...sample, seed: 4 }).slice(10);
    writeRun(run, [...lines.slice(0, 14), ...again], {});
    assert.deepEqual(readMetrics(join(run, 'metrics.jsonl')), [...lines.slice(0, 10), ...again]);
  });

  test('a wrong field names the line, another kind of file is refused, a missing one is an early run', () => {
    const path = join(newRun(), 'metrics.jsonl');
    assert.deepEqual(readMetrics(path), []);
    const line = sampleLines(sample)[0];
    writeFileSync(path, `${JSON.stringify(line)}\n${JSON.stringify({ ...line, episodes: -1 })}\n`);
    assert.throws(
      () => readMetrics(path),
      (error) => error instanceof FarsightError && /line 2.*episodes/.test(error.message),
    );
    writeFileSync(path, 'a,b\n1,x\n2,y\n');
    assert.throws(() => readMetrics(path), /not a metrics file/);
  });
});

test('a long run in few lines keeps its episodes, its imagined trajectories and its last counters', () => {
  const lines = sampleLines({ ...sample, steps: 100_000 });
  const few = condense(lines, 60);
  assert.ok(few.length <= 60 && few.length > 30);
  const episodes = (all: MetricsLine[]) => all.flatMap(({ evaluation }) => evaluation?.returns ?? []);
  assert.deepEqual(episodes(few), episodes(lines));
  const trajectories = (all: MetricsLine[]) =>
    all.flatMap(({ horizonHistogram }) => horizonHistogram ?? []).reduce((sum, count) => sum + count, 0);
  assert.equal(trajectories(few), trajectories(lines));
  const { environmentSteps, seconds, updates, timeSplit } = lines.at(-1)!;
  assert.deepEqual({ ...few.at(-1), environmentSteps, seconds, updates, timeSplit }, few.at(-1));
  assert.equal(few[1].criticLoss, lines.slice(7, 14).reduce((sum, line) => sum + line.criticLoss!, 0) / 7);
  assert.equal(condense(lines, 400), lines);
});

describe('axes', () => {
  test('ticks are round, inside the range and not crowded, for ranges of any size', () => {
    for (const size of [1e-7, 0.003, 1, 7, 90, 1234, 5e4, 3e6, 2e9]) {
      for (const low of [0, -size / 3, size * 5]) {
        const { ticks, from, to } = linearScale(low, low + size, 5);
        assert.ok(ticks.length >= 2 && ticks.length <= 7, `${ticks.length} ticks over ${low} + ${size}`);
        for (const { value } of ticks) assert.ok(value >= from - size * 1e-6 && value <= to + size * 1e-6);
        assert.equal(new Set(ticks.map(({ label }) => label)).size, ticks.length);
      }
    }
    assert.deepEqual(
      logScale(0.004, 3).ticks.map(({ label }) => label),
      ['0.01', '0.1', '1'],
    );
  });

  test('numbers keep four digits at any size', () => {
    const shown = [0, 812.34, -0.012345, 0.000012, 12345.6, 123456, 2.5e6, null].map((value) =>
      formatNumber(value),
    );
    assert.deepEqual(shown, ['0', '812.3', '−0.01235', '1.2e-5', '12346', '123.5k', '2.5M', '–']);
  });
});

test('steps to a goal are those of the first evaluation that reached it', () => {
  const curve = { steps: [500, 1000, 1500, 2000], scores: [10, 951, 940, 1000] };
  assert.equal(stepsTo(curve, 950), 1000);
  assert.equal(stepsTo(curve, 1001), null);
});

test('a comparison refuses a run without evaluations, by name', () => {
  const run = newRun();
  writeRun(run, sampleLines(sample).slice(0, 1), {});
  assert.throws(() => readComparison([{ label: 'a', directory: run }]), /run-\d+.*no evaluation/);
});

describe('in Chromium', { skip: chromium ? false : 'chromium is not installed' }, () => {
  let browser: Browser;
  before(() => {
    browser = new Browser();
  });
  after(() => browser.close());
  const open = (path: string) => browser.open(pathToFileURL(path).href);
  const resize = (width: number, height: number) =>
    browser.send('Emulation.setDeviceMetricsOverride', {
      width,
      height,
      deviceScaleFactor: 1,
      mobile: false,
    });
  const legend = () =>
    browser.evaluate<Record<string, string>>(
      `Object.fromEntries([...document.querySelectorAll('.key li')].map((li) =>
        [li.closest('figure').querySelector('figcaption span').textContent + ': ' + li.childNodes[1].textContent.trim(), li.querySelector('b').textContent]))`,
    );
  /** Charts on the page, and how many of those have every named line drawn with some length. */
  const drawn = () =>
    browser.evaluate<{ charts: number; whole: number }>(
      `(() => { const figures = [...document.querySelectorAll('figure')].map((figure) =>
        [...figure.querySelectorAll('svg')].every((svg) => [...svg.querySelectorAll('.line')].every((line) => line.getTotalLength() > 20)));
        return { charts: figures.length, whole: figures.filter(Boolean).length }; })()`,
    );

  test('a finished run: every chart drawn, the last values in the legend, the values at the pointer', async () => {
    const run = newRun();
    const lines = sampleLines(sample);
    writeRun(run, lines, { task: '<b>hopper', preset: 'fast', seed: 3, mpdp: { horizonMax: 8 } });
    writeReport(run);
    assert.deepEqual(readdirSync(run).sort(), ['config.json', 'metrics.jsonl', 'report.html']);
    await open(join(run, 'report.html'));
    await resize(1240, 1000);
    assert.deepEqual(await drawn(), { charts: 10, whole: 10 });
    assert.equal(await browser.evaluate("document.querySelector('h1').textContent"), '<b>hopper');
    assert.match(
      await browser.evaluate("document.querySelector('.config').innerText"),
      /mpdp\.horizonMax\s+8/,
    );

    const last = lines[lines.length - 1];
    const shown = await legend();
    assert.equal(
      shown['Return: evaluation'],
      `${formatNumber(last.evaluation!.mean)} ± ${formatNumber(last.evaluation!.sd, 3)}`,
    );
    assert.equal(shown['Horizon: mean horizon'], formatNumber(last.horizon));
    assert.equal(shown['Model error: newest 250 transitions'], formatNumber(last.modelError));
    assert.equal(shown['Where the time went: model'], '30 s');
    assert.equal(shown['Where the time went: other'], '9 s');

    // Half-way along the axis of the first chart, the pointer is at half of the run's steps.
    const [x, y] = await browser.evaluate<[number, number]>(
      `(() => { const svg = [...document.querySelectorAll('figure svg')].find((s) => s.getBoundingClientRect().width > 0);
        const frame = svg.getBoundingClientRect(); const [left, , width] = svg.dataset.plot.split(' ').map(Number);
        return [frame.x + (left + width / 2) * frame.width / svg.viewBox.baseVal.width, frame.y + frame.height / 2]; })()`,
    );
    await browser.send('Input.dispatchMouseEvent', { type: 'mouseMoved', x, y });
    const middle = lines.find((line) => line.environmentSteps === 2500)!;
    const there = await legend();
    assert.equal(
      there['Return: evaluation'],
      `${formatNumber(middle.evaluation!.mean)} ± ${formatNumber(middle.evaluation!.sd, 3)}`,
    );
    assert.equal(there['Value and objective: mean Q'], formatNumber(middle.qMean));
    assert.equal(await browser.evaluate("document.querySelector('figure output').textContent"), 'step 2,500');
    // The marker stands on the line.
    const off = await browser.evaluate<number>(
      `(() => { const svg = document.querySelectorAll('figure')[2].querySelector('svg');
        const mark = svg.querySelector('.mark'), line = svg.querySelector('.line');
        const [cx, cy] = [mark.cx.baseVal.value, mark.cy.baseVal.value];
        return Math.min(...Array.from({ length: 2000 }, (_, i) => { const p = line.getPointAtLength(i / 1999 * line.getTotalLength());
          return Math.hypot(p.x - cx, p.y - cy); })); })()`,
    );
    assert.ok(off < 0.5, `marker ${off} px off its line`);
    assert.deepEqual(browser.errors, []);
  });

  test('a run at any moment: nothing written, an empty file, one line, no evaluation yet, nulls', async () => {
    const [first, second] = sampleLines(sample);
    const moments = [undefined, [], [first], [first, { ...second, evaluation: null }]];
    for (const lines of moments) {
      const run = newRun();
      if (lines) writeRun(run, lines, { task: 'ant' });
      writeReport(run);
      await open(join(run, 'report.html'));
      assert.equal((await drawn()).charts, 10);
      const html = readFileSync(join(run, 'report.html'), 'utf8');
      assert.doesNotMatch(html, /NaN|Infinity|undefined/);
      assert.match(html, /no evaluation yet/);
    }
    assert.deepEqual(browser.errors, []);
  });

  test('a refused policy file is named on the page', () => {
    const run = newRun();
    writeFileSync(join(run, 'policy.onnx'), 'cut off');
    writeReport(run);
    assert.match(
      readFileSync(join(run, 'report.html'), 'utf8'),
      /refused: policy .*policy\.onnx.*not a whole ONNX file/,
    );
  });

  test('no page is wider than a phone, in either colour scheme', async () => {
    const run = newRun();
    writeRun(run, sampleLines(sample), { task: 'hopper', seed: 1 });
    writeReport(run);
    const comparison = join(directory, 'phone.html');
    writeFileSync(comparison, comparisonPage(readComparison([{ label: 'a', directory: run }]), 'One'));
    await resize(360, 740);
    const backgrounds = new Set<string>();
    for (const path of [join(run, 'report.html'), comparison]) {
      for (const value of ['light', 'dark']) {
        await browser.send('Emulation.setEmulatedMedia', {
          features: [{ name: 'prefers-color-scheme', value }],
        });
        await open(path);
        assert.equal(await browser.evaluate('document.documentElement.scrollWidth'), 360);
        backgrounds.add(await browser.evaluate('getComputedStyle(document.body).backgroundColor'));
        const narrowest = await browser.evaluate<number>(
          "Math.min(...[...document.querySelectorAll('figure')].map((figure) => figure.getBoundingClientRect().width))",
        );
        assert.ok(narrowest > 330, `a chart is ${narrowest} px wide`);
      }
    }
    assert.equal(backgrounds.size, 2);
  });

  test('a comparison: mean and range over seeds, steps to the goal, and the same as one SVG', async () => {
    const compared = [1, 2, 3].flatMap((seed) =>
      [5, 1].map((horizonMax) => {
        const run = newRun();
        const halfway = horizonMax === 5 ? 1000 + seed * 200 : 6000;
        writeRun(run, sampleLines({ seed, steps: 5000, halfway, horizonMax }), { seed });
        return { label: `Hmax ${horizonMax}`, directory: run };
      }),
    );
    const out = join(directory, 'comparison.html');
    const comparison = readComparison(compared, { goal: 950 });
    writeFileSync(out, comparisonPage(comparison, 'Far against near'));
    await open(out);
    const ends = compared
      .filter(({ label }) => label === 'Hmax 5')
      .map((run) => readMetrics(join(run.directory, 'metrics.jsonl')).at(-1)!.evaluation!.mean);
    assert.equal((await legend())['Return: Hmax 5'], formatNumber(ends.reduce((a, b) => a + b, 0) / 3));
    const rows = await browser.evaluate<string[][]>(
      "[...document.querySelectorAll('tr')].map((tr) => [...tr.children].map((cell) => cell.textContent))",
    );
    assert.deepEqual(rows[0], ['', 'seed 1', 'seed 2', 'seed 3', 'reached', 'median']);
    const steps = rows[1].slice(1, 4).map((cell) => Number(cell.replace(',', '')));
    for (const [i, run] of compared.filter(({ label }) => label === 'Hmax 5').entries()) {
      const at = readMetrics(join(run.directory, 'metrics.jsonl')).find(
        (line) => (line.evaluation?.mean ?? 0) >= 950,
      )!;
      assert.equal(steps[i], at.environmentSteps);
    }
    assert.equal(rows[1][4], '3 of 3');
    assert.deepEqual(rows[2].slice(4), ['0 of 3', 'not reached']);

    const svg = join(directory, 'comparison.svg');
    writeFileSync(svg, comparisonSvg(comparison, 'returns', 'Far against near'));
    await open(svg);
    assert.equal(await browser.evaluate('document.documentElement.nodeName'), 'svg');
    assert.ok((await browser.evaluate<number>("document.querySelectorAll('.line').length")) >= 8);
    assert.deepEqual(browser.errors, []);
  });

  test('a drawing as PNG: three dots to a unit, all of it, in its colours', async () => {
    const png = await drawPng(
      '<svg xmlns="http://www.w3.org/2000/svg" width="100" height="40"><rect width="100" height="40" fill="white"/>' +
        '<rect x="90" y="30" width="10" height="10" fill="#d02010"/></svg>',
    );
    const picture = join(directory, 'picture.html');
    writeFileSync(picture, `<img src="data:image/png;base64,${png.toString('base64')}">`);
    await open(picture);
    const pixels = await browser.evaluate(`(async () => {
      const image = document.querySelector('img');
      await image.decode();
      const canvas = new OffscreenCanvas(image.naturalWidth, image.naturalHeight).getContext('2d');
      canvas.drawImage(image, 0, 0);
      const at = (x, y) => [...canvas.getImageData(x, y, 1, 1).data];
      return [image.naturalWidth, image.naturalHeight, at(269, 100), at(271, 91), at(299, 119)];
    })()`);
    const [white, red] = [
      [255, 255, 255, 255],
      [208, 32, 16, 255],
    ];
    assert.deepEqual(pixels, [300, 120, white, red, red]);
  });
});
