// farsight collect: receives robots' recordings and keeps them as datasets, each row once.
import { copyFileSync, rmSync, statSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { InvalidArgumentError } from 'commander';
import { isLoopback } from '../../bridge/loopback.js';
import { FarsightError, UsageError } from '../../contract/errors.js';
import { askedBy, unwritable } from '../../contract/wholeFile.js';
import { BROKER_CONFIG_HELP, type BrokerFlags, brokerOf } from '../brokerFlags.js';
import { command, execute, parse, say } from '../command.js';
import { onStopSignal } from '../signals.js';

interface Options extends BrokerFlags {
  out: string;
  listen: string;
  tokenFile?: string;
  tlsCert?: string;
  tlsKey?: string;
  clientCa?: string;
  policies?: string;
  url?: string;
  incoming?: string;
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
    .option(
      '--mqtt <url>',
      "answer robots that look for a collector there with 'farsight bridge --collect broker': several with one --out share them",
    )
    .option('--mqtt-config <file>', BROKER_CONFIG_HELP)
    .option('--url <url>', 'with --mqtt: how robots reach this one (default: where it listens)', parseUrl)
    .option('--listen <address>', 'port, or ADDRESS:PORT to be reached from other computers', '7447')
    .option('--token-file <file>', 'holds the bearer token that robots must bring (or FARSIGHT_TOKEN)')
    .option('--tls-cert <file>', 'PEM of the certificate: HTTPS')
    .option('--tls-key <file>', 'PEM of its key')
    .option('--client-ca <file>', 'PEM of the authority whose clients alone may connect')
    .option(
      '--policies <directory>',
      'accept only recordings of the policy files there, as their manifests say',
    )
    .option(
      '--incoming <url>',
      'keep uploads under way in a bucket, s3://BUCKET or s3://BUCKET?endpoint=URL, not in --out; keys as AWS has them: AWS_ACCESS_KEY_ID, …',
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
  const address = listenAddress(options.listen, '--listen');
  const broker = brokerOf(options);
  const { url } = options;
  if (url !== undefined && !broker) throw new UsageError('--url: goes with --mqtt <url>');
  if (broker && url === undefined && ['0.0.0.0', '::'].includes(address.host))
    throw new UsageError(
      `--listen '${options.listen}': say with --url how robots reach it, such as http://${hostname()}:${address.port}`,
    );
  const token =
    tokenFile !== undefined ? readSecret(tokenFile, '--token-file') : process.env.FARSIGHT_TOKEN || undefined;
  const { openIncomingBucket } = await import('../../bridge/incomingBucket.js');
  const collector = await startCollector({
    directory,
    ...(options.incoming !== undefined && {
      incoming: await openIncomingBucket(options.incoming, directory),
    }),
    address,
    ...(tlsCert !== undefined &&
      tlsKey !== undefined && { tls: { cert: tlsCert, key: tlsKey, ...(clientCa && { clientCa }) } }),
    ...(token !== undefined && { token }),
    ...(policies !== undefined && { policies }),
    reserve: reserve * 1e6,
    ...(broker && { offers: { broker, ...(url !== undefined && { url }) } }),
  });
  if (token === undefined && clientCa === undefined && !isLoopback(new URL(collector.url).hostname))
    say('note: whoever reaches this port may upload: give --token-file or --client-ca');
  const to = broker ? `broker --mqtt ${options.mqtt}` : collector.url;
  say(`collecting into '${directory}': farsight bridge --collect ${to}`);
  await new Promise<void>((resolve) => {
    onStopSignal(() => resolve());
  });
  await collector.stop();
  return collector.metrics.counts;
}

function parseUrl(text: string): string {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (!url || !['http:', 'https:'].includes(url.protocol) || url.username !== '' || url.password !== '')
    throw new InvalidArgumentError('wants a URL such as http://fleet-1.local:7447.');
  return url.href;
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
  const { listSegments } = await import('../../bridge/segments.js');
  const { makeDirectory } = await import('../../contract/directory.js');
  const found = statSync(path, { throwIfNoEntry: false });
  if (!found) throw new FarsightError(`--import '${path}': no such file or directory`);
  const files = found.isDirectory() ? listSegments(path).map((segment) => segment.path) : [path];
  makeDirectory(out);
  const writer = new DatasetWriter({ directory: out, ...(policies !== undefined && { policies }) });
  const result: Result = { stored: 0, quarantined: 0, rows: 0, duplicates: 0 };
  try {
    for (const file of files) {
      const upload = describeFile(file);
      writer.forgive(upload);
      const aside = join(out, asideName());
      copyWhole(file, aside);
      const receipt = await writer.takeAtLast(aside, upload);
      if (!receipt) throw new FarsightError(`'${file}' changed while it was read`);
      result[receipt.state]++;
      if (receipt.state === 'stored') {
        result.rows += receipt.rows;
        result.duplicates += receipt.duplicates;
      } else say(`'${file}' is quarantined: ${receipt.reason}`);
    }
    return result;
  } finally {
    writer.close();
  }
}
