// report.html: one training run on one page, readable at any moment of the run.
import { existsSync, readFileSync, statSync } from 'node:fs';
import { basename, join, resolve } from 'node:path';
import { FarsightError, messageOf } from '../../contract/errors.js';
import { readPolicyFile } from '../../contract/policyFile.js';
import { writeWhole } from '../../contract/wholeFile.js';
import { condense } from './condense.js';
import { type MetricsLine, readMetrics } from './metrics.js';
import { escapeHtml, figure, page } from './page.js';
import { runCharts } from './runCharts.js';
import { formatCount, formatNumber } from './scale.js';

/** What `farsight play --record` may have made of the run's policy, by its kind. */
export const CLIPS = { 'clip.webm': 'video/webm', 'clip.mp4': 'video/mp4', 'clip.gif': 'image/gif' } as const;
/** Points of a line in a chart; more are neither seen nor needed. */
const MOST_POINTS = 250;

/** The run's options as config.json has them. */
type Config = Record<string, unknown>;

/**
 * Writes `report.html` of a run from its `metrics.jsonl`, `config.json`, `policy.onnx` and a clip of that, as far as they
 * exist. A policy file that is refused is named on the page; damaged metrics or config throw a `FarsightError`.
 */
export function writeReport(runDirectory: string): void {
  const lines = readMetrics(join(runDirectory, 'metrics.jsonl'));
  const config = shownConfig(runDirectory);
  const text = (key: string) => (config[key] === undefined ? undefined : String(config[key]));
  const task = basename(taskShown(config) ?? resolve(runDirectory));
  const facts = [
    text('preset') && `preset ${text('preset')}`,
    text('seed') && `seed ${text('seed')}`,
    lines.length === 0
      ? 'no measurement yet'
      : `${formatCount(lines[lines.length - 1].environmentSteps)} environment steps`,
    lines.length > 0 && hours(lines[lines.length - 1].seconds),
  ].filter(Boolean);
  const stride = Math.ceil(lines.length / MOST_POINTS);
  const condensed = stride > 1 ? ` Each point stands for ${stride} measurements together.` : '';
  const charts = runCharts(condense(lines, MOST_POINTS)).map(({ chart, wide }) => figure(chart, wide));
  const body = `<header>
<h1>${escapeHtml(task)}</h1>
<p>${escapeHtml(facts.join(' · '))}</p>
</header>
${tiles(lines)}
<section class="charts">
${charts.join('\n')}
</section>
${policySection(runDirectory)}
${configSection(config)}
<p><small>Written by Farsight ${new Date().toISOString().slice(0, 16).replace('T', ' ')} UTC. Horizontal axes are environment steps.${condensed}</small></p>`;
  writeWhole(join(runDirectory, 'report.html'), page(`${task} · Farsight`, body));
}

/** A run's config.json as reports show it, empty when there is none. Throws a `FarsightError` where it is no JSON object. */
export function shownConfig(runDirectory: string): Config {
  const path = join(runDirectory, 'config.json');
  if (!existsSync(path)) return {};
  let json: unknown;
  try {
    json = JSON.parse(readFileSync(path, 'utf8'));
  } catch {
    json = undefined;
  }
  if (typeof json !== 'object' || json === null || Array.isArray(json))
    throw new FarsightError(`config '${path}': is not a JSON object; delete it or start the run again`);
  return json as Config;
}

/** The name of a run's task; of one's own where older versions kept only that, the path. */
export function taskShown({ task, ownTask }: Config): string | undefined {
  const name = (ownTask as { name?: unknown } | undefined)?.name ?? task;
  return name === undefined ? undefined : String(name);
}

/** Seconds as "48 s", "12 min" or "3 h 05 min". */
function hours(seconds: number): string {
  if (seconds < 100) return `${Math.round(seconds)} s`;
  const minutes = Math.round(seconds / 60);
  if (minutes < 100) return `${minutes} min`;
  return `${Math.floor(minutes / 60)} h ${String(minutes % 60).padStart(2, '0')} min`;
}

function tiles(lines: MetricsLine[]): string {
  const newest = lines.at(-1);
  const evaluated = lines.filter((line) => line.evaluation !== null);
  const last = evaluated.at(-1);
  const best = evaluated.reduce<MetricsLine | undefined>(
    (a, b) => (a && a.evaluation!.mean >= b.evaluation!.mean ? a : b),
    undefined,
  );
  const at = (line: MetricsLine | undefined, more = '') =>
    line ? `${more}at step ${formatCount(line.environmentSteps)}` : 'no evaluation yet';
  const tile = (name: string, value: string, note: string) =>
    `<div><dt>${name}</dt><dd>${value}<small>${note}</small></dd></div>`;
  return `<dl class="tiles">
${tile('Last return', formatNumber(last?.evaluation?.mean), at(last, last && `± ${formatNumber(last.evaluation!.sd, 3)}, `))}
${tile('Best policy', formatNumber((best?.evaluation?.again ?? best?.evaluation)?.mean), at(best, chosenBy(best)))}
${tile('Mean horizon', formatNumber(newest?.horizon), 'imagined steps')}
${tile('Model error', formatNumber(newest?.modelError), 'L2 on new transitions')}
${tile('Updates', newest ? formatCount(newest.updates) : '–', `${formatNumber(newest?.updatesPerSecond)} a second`)}
${tile('Wall time', newest ? hours(newest.seconds) : '–', newest ? `${formatCount(newest.episodes)} episodes` : '')}
</dl>`;
}

/** The evaluation by which the best policy was chosen, where there was another one to say what it is worth. */
function chosenBy(best: MetricsLine | undefined): string {
  return best?.evaluation?.again ? `chosen by ${formatNumber(best.evaluation.mean)}, ` : '';
}

function policySection(runDirectory: string): string {
  const path = join(runDirectory, 'policy.onnx');
  if (!existsSync(path)) return '';
  let text: string;
  try {
    const { manifest, sha256 } = readPolicyFile(path);
    const { provenance } = manifest;
    text = [
      `${manifest.observation.length} numbers of observation → ${manifest.action.length} of action at ${formatNumber(manifest.controlRate)} Hz`,
      `return ${formatNumber(provenance.return)} after ${formatCount(provenance.environmentSteps)} steps` +
        (provenance.selectionReturn === undefined
          ? ''
          : `, from other start states than the ${formatNumber(provenance.selectionReturn)} by which it was chosen`),
      `exported ${provenance.created.slice(0, 16).replace('T', ' ')}`,
      `source ${provenance.sourceRevision.slice(0, 12)}`,
    ].join(' · ');
    text = `${escapeHtml(text)}<br><code>sha256 ${sha256}</code>`;
  } catch (error) {
    text = `refused: ${escapeHtml(messageOf(error))}`;
  }
  return `<h2>policy.onnx</h2>\n<p>${text}</p>\n${clipOf(runDirectory, path)}`;
}

/** The policy's clip, or how to make one: another policy may have come since. */
function clipOf(runDirectory: string, policy: string): string {
  for (const [name, type] of Object.entries(CLIPS)) {
    const path = join(runDirectory, name);
    if (!existsSync(path) || statSync(path).mtimeMs < statSync(policy).mtimeMs) continue;
    const source = `src="data:${type};base64,${readFileSync(path).toString('base64')}"`;
    return type === 'image/gif'
      ? `<img class="clip" alt="The policy in simulation" ${source}>`
      : `<video class="clip" controls autoplay loop muted playsinline ${source}></video>`;
  }
  return '<p>To see it move, in this folder: <code>npx farsight play policy.onnx</code>, or for a clip on this page <code>npx farsight play policy.onnx --record clip.webm</code>.</p>';
}

function configSection(config: Config): string {
  const rows = flatten(config);
  if (rows.length === 0) return '';
  const row = ([key, value]: [string, string]) =>
    `<div><dt>${escapeHtml(key)}</dt><dd>${escapeHtml(value)}</dd></div>`;
  return `<h2>Options</h2>\n<dl class="config">${rows.map(row).join('')}</dl>`;
}

function flatten(value: Config, prefix = ''): [string, string][] {
  return Object.entries(value).flatMap(([key, entry]): [string, string][] => {
    const name = `${prefix}${key}`;
    if (Array.isArray(entry)) return [[name, entry.map(String).join(', ')]];
    if (typeof entry === 'object' && entry !== null) return flatten(entry as Config, `${name}.`);
    return [[name, String(entry)]];
  });
}
