// farsight bridge: brings a robot's recordings to the collector, and keeps their share of its disk.
import { existsSync } from 'node:fs';
import { UsageError } from '../../contract/errors.js';
import { robotNameOf, type TransferState } from '../../contract/telemetry.js';
import { BROKER_CONFIG_HELP, type BrokerFlags, brokerOf } from '../brokerFlags.js';
import { command, execute, parse, say } from '../command.js';
import { onStopSignal } from '../signals.js';

interface Options extends BrokerFlags {
  name?: string;
  recordings: string;
  collect?: string;
  tokenFile?: string;
  ca?: string;
  cert?: string;
  key?: string;
  bandwidth?: number;
  quota: number;
  reserve: number;
  settle: number;
  once?: boolean;
  json?: boolean;
}

const MEGA = 1e6;
/** Instead of a collector's URL. */
const AT_BROKER = 'broker';

export function bridgeCommand() {
  return command(
    'bridge',
    "upload a robot's recordings to a collector, and keep them within a quota of the disk",
    'farsight bridge --recordings recordings --collect http://fleet.local:7447 --bandwidth 500',
  )
    .requiredOption('--recordings <directory>', "what 'farsight control --record' writes to")
    .option(
      '--collect <url>',
      "URL of 'farsight collect', or 'broker' for whichever of several answers at that of --mqtt; without it recordings stay, within the quota",
    )
    .option(
      '--token-file <file>',
      "holds the collector's bearer token (or FARSIGHT_TOKEN in the environment)",
    )
    .option('--ca <file>', "PEM of the authority that signed the collector's certificate")
    .option('--cert <file>', 'PEM of a client certificate')
    .option('--key <file>', 'PEM of its key')
    .option(
      '--bandwidth <kilobytes>',
      'send at most so many kilobytes a second (default: no limit)',
      parse.positiveNumber,
    )
    .option('--quota <megabytes>', 'room for recordings on the disk', parse.positiveNumber, 10_000)
    .option(
      '--reserve <megabytes>',
      'room that stays free on the disk, whoever fills it',
      parse.nonNegativeNumber,
      200,
    )
    .option(
      '--settle <seconds>',
      'a file without an end that has not changed for so long is uploaded as it is',
      parse.positiveNumber,
      60,
    )
    .option('--mqtt <url>', 'tell an MQTT broker once a second how the recordings stand')
    .option('--mqtt-config <file>', BROKER_CONFIG_HELP)
    .option('--name <robot>', "the robot's name there (default: the host name)")
    .option('--once', 'end when the collector has all that is whole now')
    .addHelpText(
      'after',
      `
When room runs out, files are deleted in this order, each the oldest first: segments that the collector has, black boxes
that it has, segments that it does not have, black boxes that it does not have. What is dropped unsent is counted, in
.bridge/dropped.jsonl beside the recordings.`,
    )
    .action((options: Options) =>
      execute(
        options.json,
        () => run(options),
        ({ stored, rows, quarantined, dropped }) =>
          console.log(
            `${stored} files with ${rows} new rows stored, ${quarantined} quarantined; ${dropped.files} files with ${dropped.rows} rows ever dropped unsent`,
          ),
      ),
    );
}

async function run(options: Options): Promise<TransferState> {
  const { RobotBridge } = await import('../../bridge/robotBridge.js');
  const { readPem, readSecret } = await import('../../bridge/httpEdge.js');
  const {
    recordings: directory,
    collect,
    tokenFile,
    ca,
    cert,
    key,
    bandwidth,
    quota,
    reserve,
    settle,
  } = options;
  if (collect !== undefined && collect !== AT_BROKER) checkUrl(collect);
  if ((cert === undefined) !== (key === undefined)) throw new UsageError('--cert and --key go together');
  if (options.once && collect === undefined) throw new UsageError('--once: goes with --collect <url>');
  const awaited = !existsSync(directory);
  if (awaited && options.once) throw new UsageError(`--recordings '${directory}': no such directory`);
  const token =
    tokenFile !== undefined ? readSecret(tokenFile, '--token-file') : process.env.FARSIGHT_TOKEN || undefined;
  const broker = brokerOf(options);
  const name = options.name ?? robotNameOf();
  if (collect === AT_BROKER && !broker) throw new UsageError('--collect broker: goes with --mqtt <url>');
  const { CollectorFinder } = await import('../../bridge/offers.js');
  const request = {
    ...(ca !== undefined && { ca: readPem(ca) }),
    ...(cert !== undefined && key !== undefined && { cert: readPem(cert), key: readPem(key) }),
  };
  const finder = collect === AT_BROKER ? new CollectorFinder(broker!, name, token !== undefined) : undefined;
  let bridge: InstanceType<typeof RobotBridge> | undefined;
  let telemetry: { stop(): Promise<void> } | undefined;
  try {
    const working = new RobotBridge({
      directory,
      quota: quota * MEGA,
      reserve: reserve * MEGA,
      settle: settle * 1000,
      ...(collect !== undefined && {
        upload: {
          ...(finder ? { collector: finder.url, find: finder.find.bind(finder) } : { collector: collect }),
          ...(token !== undefined && { token }),
          ...(bandwidth !== undefined && { bandwidth: bandwidth * 1000 }),
          request,
        },
      }),
    });
    bridge = working;
    const stopped = new Promise<void>((resolve) => {
      onStopSignal(() => resolve());
    });
    if (broker) {
      const { publishTransfer } = await import('../../bridge/transferPublisher.js');
      telemetry = publishTransfer(broker, name, () => working.state());
    }
    const to = finder ? `the collectors at ${finder.url}` : collect;
    say(`bridging '${directory}'${to === undefined ? '' : ` to ${to}`}`);
    if (awaited) say(`'${directory}' was not there: waiting for 'farsight control --record ${directory}'`);
    await Promise.race([stopped, ...(options.once ? [working.idle()] : [])]);
    return working.state();
  } finally {
    await telemetry?.stop();
    await bridge?.stop();
    await finder?.stop();
  }
}

function checkUrl(text: string): void {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (!url || !['http:', 'https:'].includes(url.protocol) || url.username !== '' || url.password !== '')
    throw new UsageError(
      `--collect '${url ? url.origin : text}': wants a URL such as http://fleet.local:7447, its token in --token-file, or '${AT_BROKER}'`,
    );
}
