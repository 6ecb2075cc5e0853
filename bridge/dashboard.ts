// The dashboard's server: its page and files, a stream of what robots say to each page, and what was kept for late ones.
import type { IncomingMessage, ServerResponse } from 'node:http';
import { messageOf } from '../contract/errors.js';
import type { Received } from '../contract/telemetry.js';
import { FleetArchive, type RobotArchive } from './fleetArchive.js';
import { type Listening, listen } from './httpEdge.js';
import { logger } from './log.js';
import { isLoopback } from './loopback.js';
import type { PageMessage, RobotModel, RunCard } from './pageMessages.js';
import type { RobotState, Watcher } from './watcher.js';

const MOST_PAGES = 50;
/** Bytes that a page has not taken yet, beyond which it is let go: it comes again, and begins anew. */
const MOST_WAITING = 4 * 2 ** 20;
/** Between two looks at the runs, ms. */
const RUNS_MS = 2000;

/** A file of the page, as it is sent. */
export interface PageFile {
  body: Uint8Array;
  type: string;
  encoding?: 'gzip';
}

export interface DashboardOptions {
  address: Listening;
  /** By path; '/' is the page. */
  files: ReadonlyMap<string, PageFile>;
  /** The shape of the robot of a task; undefined when it is not known. */
  model(task: string): Promise<RobotModel | undefined>;
  /** Trainings and refits as they are now. */
  runs(): RunCard[];
}

interface Page {
  response: ServerResponse;
  /** The robot that it shows. */
  robot: string | null;
}

/** Nothing comes from elsewhere; MuJoCo's WebAssembly makes functions of text. */
const POLICY =
  "default-src 'self'; script-src 'self' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:";

export class Dashboard {
  readonly #options: DashboardOptions;
  readonly #fleet = new FleetArchive();
  readonly #pages = new Set<Page>();
  readonly #log = logger('dashboard');
  #watcher: Pick<Watcher, 'url' | 'connected' | 'refused'> | undefined;
  #runs = '';
  #refused = 0;

  constructor(options: DashboardOptions) {
    this.#options = options;
  }

  /** A message of a robot, as its watcher gives it; `now` in ms since 1970. */
  take(received: Received, state: RobotState, now = Date.now()): void {
    const { robot } = state;
    const message = this.#fleet.take(received, state, now);
    if (message) this.#tell(message, (page) => page.robot === robot);
    if (received.kind !== 'pose' && received.kind !== 'event')
      this.#tell({ kind: 'robot', card: this.#fleet.robots.get(robot)!.card() });
  }

  /** The connection to the broker broke or is back. */
  brokerChanged(): void {
    const message = this.#broker();
    if (message) this.#tell(message);
  }

  /** Begins to listen; throws a `FarsightError` when it cannot. */
  async start(
    watcher: Pick<Watcher, 'url' | 'connected' | 'refused'>,
  ): Promise<{ url: string; stop(): void }> {
    this.#watcher = watcher;
    const { server, url } = await listen((request, response) => {
      this.#answer(request, response).catch((error) => {
        this.#log.error({ error: messageOf(error) }, 'request failed');
        response.destroy();
      });
    }, this.#options.address);
    server.on('clientError', (_, socket) => socket.destroy());
    const timer = setInterval(() => this.#look(), RUNS_MS);
    return {
      url,
      stop() {
        clearInterval(timer);
        server.close();
        server.closeAllConnections();
      },
    };
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    response.setHeader('X-Content-Type-Options', 'nosniff');
    if (request.method !== 'GET') return end(response, 405, 'only GET\n');
    if (!this.#mayAsk(request.headers.host ?? '')) return end(response, 403, 'unknown host\n');
    const [path, query] = (request.url ?? '').split('?');
    const file = this.#options.files.get(path);
    if (file) {
      response.setHeader('Content-Type', file.type);
      response.setHeader('Content-Security-Policy', POLICY);
      response.setHeader('Cache-Control', 'no-cache');
      if (file.encoding) response.setHeader('Content-Encoding', file.encoding);
      return end(response, 200, file.body);
    }
    const parameters = new URLSearchParams(query);
    const robot = parameters.get('robot');
    if (path === '/stream') return this.#stream(response, robot);
    if (path === '/model') {
      const task = parameters.get('task') ?? '';
      const model = await this.#options.model(task);
      return model ? json(response, model) : end(response, 404, `no MJCF is known of task '${task}'\n`);
    }
    const archive = robot === null ? undefined : this.#fleet.robots.get(robot);
    if (path === '/history' && archive) {
      response.setHeader('Content-Type', 'application/octet-stream');
      return end(response, 200, archive.history.toBytes());
    }
    const replay = archive?.replays.find(({ time }) => time === Number(parameters.get('fault')));
    if (path === '/replay' && replay) return json(response, replay);
    end(response, 404, 'not found\n');
  }

  /** A name of another site that leads to this computer's loopback is refused, so that no site reads what is here. */
  #mayAsk(host: string): boolean {
    return !isLoopback(this.#options.address.host) || isLoopback(host.replace(/:\d+$/, ''));
  }

  #stream(response: ServerResponse, robot: string | null): void {
    if (this.#pages.size >= MOST_PAGES) {
      end(response, 503, 'too many pages are open: close some\n');
      return;
    }
    response.writeHead(200, { 'Content-Type': 'text/event-stream', 'Cache-Control': 'no-cache' });
    const page = { response, robot };
    response.on('close', () => this.#pages.delete(page));
    const robots = [...this.#fleet.robots.values()];
    const first: (PageMessage | undefined)[] = [
      this.#broker(),
      { kind: 'fleet', robots: robots.map((one) => ({ ...one.card(), pressures: one.pressures })) },
      { kind: 'runs', runs: this.#options.runs() },
      this.#refusedNow(),
      ...keptOf(robot === null ? undefined : this.#fleet.robots.get(robot)),
    ];
    for (const message of first) if (message) send(page, message);
    this.#pages.add(page);
  }

  #tell(message: PageMessage, to: (page: Page) => boolean = () => true): void {
    let text: string | undefined;
    for (const page of this.#pages) {
      if (!to(page)) continue;
      text ??= textOf(message);
      page.response.write(text);
      if (page.response.writableLength > MOST_WAITING) page.response.destroy();
    }
  }

  #look(): void {
    if (this.#pages.size === 0) return;
    const runs = this.#options.runs();
    const text = JSON.stringify(runs);
    if (text !== this.#runs) this.#tell({ kind: 'runs', runs });
    this.#runs = text;
    const refused = this.#refusedNow();
    if (refused && refused.count !== this.#refused) {
      this.#refused = refused.count;
      this.#tell(refused);
    }
  }

  #broker(): PageMessage | undefined {
    const { url, connected } = this.#watcher ?? {};
    return url === undefined ? undefined : { kind: 'broker', url, connected: connected ?? false };
  }

  #refusedNow() {
    return this.#watcher && ({ kind: 'refused', ...this.#watcher.refused } as const);
  }
}

function keptOf(archive: RobotArchive | undefined): PageMessage[] {
  if (!archive) return [];
  const { robot } = archive.state;
  return [
    { kind: 'events', robot, events: archive.events },
    { kind: 'replays', robot, replays: archive.replayTitles },
  ];
}

function send({ response }: Page, message: PageMessage): void {
  response.write(textOf(message));
}

function textOf(message: PageMessage): string {
  return `data: ${JSON.stringify(message)}\n\n`;
}

function json(response: ServerResponse, content: unknown): void {
  response.setHeader('Content-Type', 'application/json');
  end(response, 200, JSON.stringify(content));
}

function end(response: ServerResponse, status: number, body: string | Uint8Array): void {
  response.statusCode = status;
  if (!response.hasHeader('Content-Type')) response.setHeader('Content-Type', 'text/plain; charset=utf-8');
  response.end(body);
}
