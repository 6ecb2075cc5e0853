// farsight monitor: robots' loops over MQTT, live on a terminal, as plain lines, as JSON lines, or in a browser.
import type { Server } from 'node:http';
import type { Dashboard } from '../../bridge/dashboard.js';
import type { Listening } from '../../bridge/httpEdge.js';
import type { RobotState, Summary, Watcher } from '../../bridge/watcher.js';
import { FarsightError, UsageError } from '../../contract/errors.js';
import { type Received, robotNameSchema } from '../../contract/telemetry.js';
import { BROKER_CONFIG_HELP, type BrokerFlags, brokerOf } from '../brokerFlags.js';
import { command, execute, parse, say } from '../command.js';
import { isForeground } from '../foreground.js';

const REDRAW_MS = 1000;
/** With --once: how long a robot may stay silent before it is left out. */
const ONCE_MS = 5000;
/** Of the page, when none is said. */
const WEB_PORT = '7448';

interface Options extends BrokerFlags {
  mqtt: string;
  metrics?: string;
  web?: string | true;
  runs?: string;
  task: string[];
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
    .option('--web [address]', `a page at this port, or ADDRESS:PORT (default: ${WEB_PORT} of 127.0.0.1)`)
    .option('--runs <directory>', "trainings and refits to show there: a run's directory, or one of runs")
    .option(
      '--task <file>',
      'a task of your own, whose robot is to be drawn there (repeatable)',
      parse.several,
      [],
    )
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

async function monitor({ metrics, robot, once, json, ...options }: Options): Promise<void> {
  const { web, runs, task, ...broker } = options;
  if (robot !== undefined && !robotNameSchema.safeParse(robot).success)
    throw new UsageError(`--robot '${robot}': no robot can have this name; leave --robot out to see all`);
  const stray = [runs !== undefined && '--runs', task.length > 0 && '--task'].find((flag) => flag);
  if (stray && web === undefined) throw new UsageError(`${stray}: goes with --web`);
  if (once && web !== undefined) throw new UsageError('--once: does not go with --web');
  const { listenAddress } = await import('../../bridge/httpEdge.js');
  const metricsAt = metrics === undefined ? undefined : listenAddress(metrics, '--metrics');
  const dashboard = web === undefined ? undefined : await makeDashboard(web, runs, task);
  const { watchRobots } = await import('../../bridge/watcher.js');
  const { view, messageLine } = await import('../../bridge/monitorView.js');
  const ours = isForeground();
  const live = process.stdout.isTTY && ours && !json && !once;
  // In the background of a terminal, for a page or Prometheus: whoever works there does not want a line a second.
  const quiet = process.stdout.isTTY && !ours && (dashboard ?? metricsAt) !== undefined;
  const heard = new Set<string>();
  let progress = () => {};

  const onMessage = (received: Received, state: RobotState) => {
    dashboard?.take(received, state);
    if (received.kind === 'pose') return;
    if (json) {
      if (received.kind === 'telemetry') printJson(state, state.telemetry!);
    } else if (!live && !once && !quiet) console.log(messageLine(received, state));
    if (received.kind === 'telemetry') heard.add(state.robot);
    progress();
  };
  const watcher = await watchRobots({
    broker: brokerOf(broker)!,
    ...(robot !== undefined && { robot }),
    poses: dashboard !== undefined,
    onMessage,
    onBroker: (connected) => {
      dashboard?.brokerChanged();
      if (!live) say(connected ? 'connected to the broker' : 'the broker is away, trying again');
    },
  });

  let served: Server | undefined;
  let page: Awaited<ReturnType<Dashboard['start']>> | undefined;
  let redraw: NodeJS.Timeout | undefined;
  let deadline: NodeJS.Timeout | undefined;
  try {
    served = metricsAt && (await serveMetrics(metricsAt, watcher));
    page = await dashboard?.start(watcher);
    if (page) say(`dashboard: ${page.url}`);
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
    page?.stop();
    await watcher.stop();
  }
  if (once && !json) for (const line of view(watcher)) console.log(line);
}

async function makeDashboard(
  web: string | true,
  runs: string | undefined,
  tasks: string[],
): Promise<Dashboard> {
  const { Dashboard } = await import('../../bridge/dashboard.js');
  const { listenAddress } = await import('../../bridge/httpEdge.js');
  const { pageFiles } = await import('../dashboard/pageFiles.js');
  const { robotModels } = await import('../dashboard/robotModels.js');
  const { Runs } = await import('../dashboard/runs.js');
  const shown = runs === undefined ? undefined : new Runs(runs);
  return new Dashboard({
    address: listenAddress(web === true ? WEB_PORT : web, '--web'),
    files: pageFiles(),
    model: await robotModels(tasks),
    runs: () => shown?.cards() ?? [],
  });
}

/** Beside the view, for Prometheus. */
async function serveMetrics(address: Listening, watcher: Watcher) {
  const { listen } = await import('../../bridge/httpEdge.js');
  const { metricsHandler } = await import('../../bridge/robotMetrics.js');
  const handler = metricsHandler(() => watcher.robots.values());
  const { server, url } = await listen(handler, address);
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
