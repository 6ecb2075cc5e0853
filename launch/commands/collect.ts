// farsight collect: receives robots' recordings and keeps them as datasets, each row once.
import { copyFileSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { FarsightError, UsageError } from '../../contract/errors.js';
import { askedBy, unwritable } from '../../contract/wholeFile.js';
import { command, execute, parse, say } from '../command.js';
import { onStopSignal } from '../signals.js';

interface Options {
  out: string;
  listen: string;
  tokenFile?: string;
  tlsCert?: string;
  tlsKey?: string;
  clientCa?: string;
  policies?: string;
  reserve: number;
  import?: string;
  json?: boolean;
}

export function collectCommand() {
  return command(
    'collect',
    "receive robots' recordings and keep them as datasets, each row once",
    'farsight collect --out fleet --listen 7447',
  )
    .requiredOption('--out <directory>', 'where the datasets are, one a task, and what was set aside')
    .option('--listen <address>', 'port, or ADDRESS:PORT to be reached from other computers', '7447')
    .option('--token-file <file>', 'holds the bearer token that robots must bring (or FARSIGHT_TOKEN)')
    .option('--tls-cert <file>', 'PEM of the certificate: HTTPS')
    .option('--tls-key <file>', 'PEM of its key')
    .option('--client-ca <file>', 'PEM of the authority whose clients alone may connect')
    .option(
      '--policies <directory>',
      'accept only recordings of the policy files there, as their manifests say',
    )
    .option('--reserve <megabytes>', 'room that stays free on the disk', parse.nonNegativeNumber, 500)
    .option('--import <path>', 'take these recordings in, a file or a directory, and end')
    .action((options: Options) =>
      execute(
        options.json,
        () => run(options),
        (result) => console.log(text(result)),
      ),
    );
}

interface Result {
  stored: number;
  quarantined: number;
  rows: number;
  duplicates: number;
}

const text = ({ stored, quarantined, rows, duplicates }: Result) =>
  `${stored} files stored, ${rows} new rows, ${duplicates} duplicates; ${quarantined} files quarantined`;

async function run(options: Options): Promise<Result> {
  const { import: imported } = options;
  if (imported !== undefined) return askedBy('--out', () => importFiles(options, imported));
  const { out: directory, tokenFile, tlsCert, tlsKey, clientCa, policies, reserve } = options;
  const { startCollector } = await import('../../bridge/collector.js');
  const { listenAddress, readSecret } = await import('../../bridge/httpEdge.js');
  if ((tlsCert === undefined) !== (tlsKey === undefined))
    throw new UsageError('--tls-cert and --tls-key go together');
  if (clientCa !== undefined && tlsCert === undefined)
    throw new UsageError('--client-ca: goes with --tls-cert and --tls-key');
  const token =
    tokenFile !== undefined ? readSecret(tokenFile, '--token-file') : process.env.FARSIGHT_TOKEN || undefined;
  const collector = await startCollector({
    directory,
    address: listenAddress(options.listen, '--listen'),
    ...(tlsCert !== undefined &&
      tlsKey !== undefined && { tls: { cert: tlsCert, key: tlsKey, ...(clientCa && { clientCa }) } }),
    ...(token !== undefined && { token }),
    ...(policies !== undefined && { policies }),
    reserve: reserve * 1e6,
  });
  if (token === undefined && clientCa === undefined && !isLoopback(collector.url))
    say('note: whoever reaches this port may upload: give --token-file or --client-ca');
  say(`collecting into '${directory}': farsight bridge --collect ${collector.url}`);
  await new Promise<void>((resolve) => {
    onStopSignal(() => resolve());
  });
  await collector.stop();
  return collector.metrics.counts;
}

function isLoopback(url: string): boolean {
  const { hostname } = new URL(url);
  return hostname.startsWith('127.') || hostname === '[::1]';
}

/** Copies `from`; where there is no room for all of it, nothing stays. */
function copyWhole(from: string, to: string): void {
  try {
    copyFileSync(from, to);
  } catch (error) {
    rmSync(to, { force: true });
    throw unwritable(to, error);
  }
}

/** Through the same door as uploads: what a stick brings, or what was in the quarantine. */
async function importFiles({ out, policies }: Options, path: string): Promise<Result> {
  const { asideName, DatasetWriter, describeFile } = await import('../../bridge/datasetWriter.js');
  const { lockDirectory } = await import('../../contract/directoryLock.js');
  const { listSegments } = await import('../../bridge/segments.js');
  const { makeDirectory } = await import('../../contract/directory.js');
  const found = statSync(path, { throwIfNoEntry: false });
  if (!found) throw new FarsightError(`--import '${path}': no such file or directory`);
  const files = found.isDirectory() ? listSegments(path).map((segment) => segment.path) : [path];
  makeDirectory(out);
  const unlock = lockDirectory(out, `--out '${out}'`);
  try {
    const writer = new DatasetWriter({ directory: out, ...(policies !== undefined && { policies }) });
    const result: Result = { stored: 0, quarantined: 0, rows: 0, duplicates: 0 };
    for (const file of files) {
      const upload = describeFile(file);
      writer.forgive(upload);
      const aside = join(out, asideName());
      copyWhole(file, aside);
      const receipt = await writer.take(aside, upload);
      if (!receipt) throw new FarsightError(`'${file}' changed while it was read`);
      result[receipt.state]++;
      if (receipt.state === 'stored') {
        result.rows += receipt.rows;
        result.duplicates += receipt.duplicates;
      } else say(`'${file}' is quarantined: ${receipt.reason}`);
    }
    return result;
  } finally {
    unlock();
  }
}
