// farsight play: a policy's robot moving in a browser, as one page that stands alone, or as a clip.
import { existsSync, statSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { InvalidArgumentError, Option } from 'commander';
import { UsageError } from '../../contract/errors.js';
import { askedBy, writeWhole } from '../../contract/wholeFile.js';
import { command, execute, parse, say } from '../command.js';
import { startProgress } from '../progress.js';
import { onStopSignal, stoppable } from '../signals.js';

interface Flags {
  task?: string;
  seed: number;
  out?: string;
  record?: string;
  seconds: number;
  size: { width: number; height: number };
  port: number;
  json?: boolean;
}

/** What was written or served, and how many bytes it is. */
interface PlayResult {
  page?: string;
  clip?: string;
  url?: string;
  bytes: number;
}

/** Pictures a second: a GIF's delays are whole hundredths. */
const VIDEO_RATE = 30;
const GIF_RATE = 20;

export function playCommand() {
  return command(
    'play',
    'see the robot move in a browser: one page that works offline, or a clip',
    'farsight play runs/hopper/policy.onnx --out hopper.html',
  )
    .argument('<policy>', 'the policy file')
    .option(
      '--task <name|path>',
      "the task (default: the run's own, or the one that the file's manifest names)",
    )
    .option('--seed <number>', 'of the start states, as for eval', parse.seed, 100)
    .option('--out <file>', 'write the page (.html) and end; without it the page is served until Ctrl-C')
    .option('--port <number>', 'of 127.0.0.1, for the page that is served; 0 takes a free one', parse.port, 0)
    .option('--record <file>', 'write a clip (.webm, .mp4 or .gif) through Chromium and end')
    .option('--seconds <number>', 'length of the clip', parse.positiveNumber, 6)
    .addOption(
      new Option('--size <WxH>', 'of the clip, in pixels')
        .argParser(size)
        .default({ width: 640, height: 360 }, '640x360'),
    )
    .addHelpText(
      'after',
      `
The page holds the physics, the policy and the task's own code: it can be sent by mail, and needs no network. On it:
space pauses, the right arrow steps, up and down change the speed, R restarts, N takes another seed, P pushes, L changes
the limits, H puts the camera back; dragging the robot pulls it. A clip that is called clip.webm, clip.mp4 or clip.gif in
a run's directory is shown in the run's report.`,
    )
    .action((path: string, flags: Flags) => execute(flags.json, () => play(path, flags), show));
}

async function play(
  policy: string,
  { task, seed, out, record, seconds, size, port }: Flags,
): Promise<PlayResult> {
  if (out !== undefined && record !== undefined)
    throw new UsageError('--out and --record make different files: give one of them');
  if (out !== undefined && !out.endsWith('.html'))
    throw new UsageError(`--out '${out}': wants a name that ends in .html; --record makes clips`);
  const { makePage } = await import('../play/pageFile.js');
  const page = { policy, task, seed };
  if (record !== undefined) {
    const { clipFormat, recordClip } = await import('../play/record.js');
    const rate = clipFormat(record) === 'gif' ? GIF_RATE : VIDEO_RATE;
    const progress = startProgress({ title: 'record', total: Math.round(seconds * rate), unit: 'pictures' });
    try {
      await stoppable('this picture', (stop) =>
        recordClip(page, record, { ...size, rate, seconds }, (done) => progress.update(done), stop),
      );
    } finally {
      progress.finish();
    }
    await refreshReport(record);
    return { clip: record, bytes: statSync(record).size };
  }
  const html = await makePage(page);
  const bytes = Buffer.byteLength(html);
  if (out !== undefined) {
    askedBy('--out', () => writeWhole(out, html));
    return { page: out, bytes };
  }
  const { openInBrowser, serve } = await import('../play/serve.js');
  const { url, close } = await serve(html, port);
  say(`the robot plays at ${url} until Ctrl-C`);
  openInBrowser(url);
  await new Promise<string>((resolve) => onStopSignal(resolve));
  close();
  return { url, bytes };
}

/** A run's report shows the run's clip. */
export async function refreshReport(clip: string): Promise<void> {
  const { CLIPS, writeReport } = await import('../../trainer/report/report.js');
  const run = dirname(clip);
  if (Object.hasOwn(CLIPS, basename(clip)) && existsSync(join(run, 'metrics.jsonl'))) writeReport(run);
}

function show({ page, clip, bytes }: PlayResult): void {
  const file = page ?? clip;
  if (file !== undefined) console.log(`wrote ${file} (${(bytes / 1e6).toFixed(1)} MB)`);
}

function size(text: string): Flags['size'] {
  const [width, height] = (/^(\d+)x(\d+)$/.exec(text) ?? []).slice(1).map(Number);
  // Video codecs want even numbers, and a larger picture does not fit into a page's memory.
  if (![width, height].every((pixels) => pixels >= 64 && pixels <= 4096 && pixels % 2 === 0))
    throw new InvalidArgumentError('wants WIDTHxHEIGHT, both even, from 64 to 4096.');
  return { width, height };
}
