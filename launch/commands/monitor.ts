// farsight monitor: robots' loops over MQTT, live on a terminal, as plain lines, or as JSON lines.
import type { RobotState, Summary, Watcher } from '../../bridge/watcher.js';
import { FarsightError, UsageError } from '../../contract/errors.js';
import { type Received, robotNameSchema } from '../../contract/telemetry.js';
import { BROKER_CONFIG_HELP, type BrokerFlags, brokerOf } from '../brokerFlags.js';
import { command, execute, say } from '../command.js';

const REDRAW_MS = 1000;
/** With --once: how long a robot may stay silent before it is left out. */
const ONCE_MS = 5000;

interface Options extends BrokerFlags {
  mqtt: string;
  metrics?: string;
  robot?: string;
  once?: boolean;
  json?: boolean;
}

export function monitorCommand() {
  const made = command(
    'monitor',
    'show the loops of robots that publish telemetry',
    'farsight monitor --mqtt mqtt://127.0.0.1:1883',
  )
    .requiredOption(
      '--mqtt <url>',
      "the broker; 'farsight control --mqtt embedded' prints the URL of its own",
    )
    .option('--mqtt-config <file>', BROKER_CONFIG_HELP)
    .option('--metrics <address>', 'port, or ADDRESS:PORT, where Prometheus finds all robots at /metrics')
    .option('--robot <name>', 'show this robot alone')
    .option('--once', 'end after the first telemetry of each robot that is online')
    .action((options: Options) =>
      // Every mode prints as it goes; nothing is left to print at the end.
      execute(
        false,
        () => monitor(options),
        () => {},
      ),
    );
  const json = made.options.find((option) => option.long === '--json');
  if (json) json.description = 'print one JSON object per telemetry, a line each';
  return made;
}

async function monitor({ metrics, robot, once, json, ...broker }: Options): Promise<void> {
  if (robot !== undefined && !robotNameSchema.safeParse(robot).success)
    throw new UsageError(`--robot '${robot}': no robot can have this name; leave --robot out to see all`);
  const { watchRobots } = await import('../../bridge/watcher.js');
  const { view, messageLine } = await import('../../bridge/monitorView.js');
  const live = process.stdout.isTTY && !json && !once;
  const heard = new Set<string>();
  let progress = () => {};

  const onMessage = (received: Received, state: RobotState) => {
    if (json) {
      if (received.kind === 'telemetry') printJson(state, state.telemetry!);
    } else if (!live && !once) console.log(messageLine(received, state));
    if (received.kind === 'telemetry') heard.add(state.robot);
    progress();
  };
  const watcher = await watchRobots({
    broker: brokerOf(broker)!,
    ...(robot !== undefined && { robot }),
    onMessage,
    onBroker: (connected) => {
      if (!live) say(connected ? 'connected to the broker' : 'the broker is away, trying again');
    },
  });

  const served = metrics === undefined ? undefined : await serveMetrics(metrics, watcher);
  let redraw: NodeJS.Timeout | undefined;
  let deadline: NodeJS.Timeout | undefined;
  if (live) {
    const draw = () =>
      // Home, each line cleared behind its end, then everything below.
      process.stdout.write(
        `\x1b[H${fit(view(watcher), process.stdout.columns, process.stdout.rows)
          .map((line) => `${line}\x1b[K\n`)
          .join('')}\x1b[J`,
      );
    process.stdout.write('\x1b[2J');
    draw();
    redraw = setInterval(draw, REDRAW_MS);
  }
  try {
    await new Promise<void>((resolve, reject) => {
      process.once('SIGINT', resolve);
      process.once('SIGTERM', resolve);
      process.stdout.once('error', resolve);
      if (!once) return;
      deadline = setTimeout(() => {
        const silent = robot === undefined ? 'no robot has' : `robot '${robot}' has not`;
        if (heard.size > 0) resolve();
        else reject(new FarsightError(`${silent} sent telemetry for ${ONCE_MS / 1000} s`));
      }, ONCE_MS);
      progress = () => {
        if (everyRobotHeard(watcher, heard)) resolve();
      };
      progress();
    });
  } finally {
    clearInterval(redraw);
    clearTimeout(deadline);
    served?.close();
    served?.closeAllConnections();
    await watcher.stop();
  }
  if (once && !json) for (const line of view(watcher)) console.log(line);
}

/** Beside the view, for Prometheus. */
async function serveMetrics(address: string, watcher: Watcher) {
  const { listen, listenAddress } = await import('../../bridge/httpEdge.js');
  const { metricsHandler } = await import('../../bridge/robotMetrics.js');
  const handler = metricsHandler(() => watcher.robots.values());
  const { server, url } = await listen(handler, listenAddress(address, '--metrics'));
  say(`metrics for Prometheus: ${url}/metrics`);
  return server;
}

/** The lines as a terminal of this size holds them, the last row left to the cursor. */
function fit(lines: string[], columns: number, rows: number): string[] {
  const shown =
    lines.length < rows
      ? lines
      : [...lines.slice(0, rows - 2), 'more below: enlarge the terminal, or use --robot'];
  return shown.map((line) => line.slice(0, columns));
}

function everyRobotHeard(watcher: Watcher, heard: Set<string>): boolean {
  const online = [...watcher.robots.values()].filter(({ connection }) => connection === 'online');
  return heard.size > 0 && online.every(({ robot }) => heard.has(robot));
}

function printJson({ connection, undelivered }: RobotState, telemetry: Summary): void {
  process.stdout.write(`${JSON.stringify({ ...telemetry, connection, undelivered })}\n`);
}
