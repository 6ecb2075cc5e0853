// A Chromium without a window, driven over its DevTools pipe: open a page, evaluate, look.
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Readable, Writable } from 'node:stream';

const NAMES = ['chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable'];

/** The name of an installed Chromium, or undefined. */
export function findChromium(): string | undefined {
  return NAMES.find((name) => spawnSync(name, ['--version']).status === 0);
}

type Message = {
  id?: number;
  method?: string;
  params?: Record<string, unknown>;
  result?: Record<string, unknown>;
  error?: { message: string };
};

/** One browser with one tab, and a profile of its own that ends with it. */
export class Chromium {
  readonly #process: ChildProcess;
  readonly #profile = mkdtempSync(join(tmpdir(), 'farsight-chromium-'));
  readonly #waiting = new Map<number, (message: Message) => void>();
  readonly #listeners = new Map<string, () => void>();
  readonly #onEvent: (method: string, params: Record<string, unknown>) => void;
  #session: string | undefined;
  #over: string | undefined;
  #next = 1;

  /** `onEvent` hears what the page's console, scripts and network do. */
  constructor(name: string, onEvent: (method: string, params: Record<string, unknown>) => void = () => {}) {
    this.#onEvent = onEvent;
    const flags = [
      '--headless',
      '--no-sandbox',
      // Pictures in three dimensions are drawn by the processor: the same everywhere, and there is no other here.
      '--use-angle=swiftshader',
      '--enable-unsafe-swiftshader',
      '--disable-quic',
      '--no-first-run',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
      '--hide-scrollbars',
      '--remote-debugging-pipe',
      `--user-data-dir=${this.#profile}`,
      'about:blank',
    ];
    // A group of its own, to be ended with all of its processes: what goes on would go on writing into the profile.
    this.#process = spawn(name, flags, {
      stdio: ['ignore', 'ignore', 'ignore', 'pipe', 'pipe'],
      detached: true,
    });
    this.#process.once('exit', () => this.#end('the browser has ended'));
    this.#process.once('error', ({ message }) => this.#end(message));
    (this.#process.stdio[3] as Writable).on('error', () => {});
    let text = '';
    (this.#process.stdio[4] as Readable).setEncoding('utf8').on('data', (chunk: string) => {
      const parts = (text + chunk).split('\0');
      text = parts.pop()!;
      for (const part of parts) this.#receive(JSON.parse(part));
    });
  }

  /** Returns when the page has loaded, or the browser has ended. */
  async open(url: string): Promise<void> {
    if (!this.#session) {
      const { targetInfos } = await this.send('Target.getTargets');
      const page = (targetInfos as { type: string; targetId: string }[]).find(({ type }) => type === 'page')!;
      const { sessionId } = await this.send('Target.attachToTarget', {
        targetId: page.targetId,
        flatten: true,
      });
      this.#session = sessionId as string;
      for (const domain of ['Page', 'Runtime', 'Log', 'Network', 'Inspector'])
        await this.send(`${domain}.enable`);
    }
    const loaded = new Promise<void>((resolve) => this.#listeners.set('Page.loadEventFired', resolve));
    await this.send('Page.navigate', { url });
    await loaded;
  }

  /** The value of an expression in the page. */
  async evaluate<T>(expression: string): Promise<T> {
    const { result, exceptionDetails } = await this.send('Runtime.evaluate', {
      expression,
      returnByValue: true,
      awaitPromise: true,
    });
    if (exceptionDetails) throw new Error(`in the page: ${JSON.stringify(exceptionDetails)}`);
    return (result as { value: T }).value;
  }

  /** A command of the DevTools protocol. */
  send(method: string, params: Record<string, unknown> = {}): Promise<Record<string, unknown>> {
    if (this.#over) return Promise.reject(new Error(`${method}: ${this.#over}`));
    const id = this.#next++;
    const answer = new Promise<Record<string, unknown>>((resolve, reject) => {
      this.#waiting.set(id, ({ result, error }) =>
        error ? reject(new Error(`${method}: ${error.message}`)) : resolve(result ?? {}),
      );
    });
    (this.#process.stdio[3] as Writable).write(
      `${JSON.stringify({ id, method, params, sessionId: this.#session })}\0`,
    );
    return answer;
  }

  async close(): Promise<void> {
    const running = this.#process.exitCode === null && this.#process.signalCode === null;
    const ended = running && new Promise((resolve) => this.#process.once('exit', resolve));
    if (running && this.#process.pid) process.kill(-this.#process.pid, 'SIGKILL');
    await ended;
    rmSync(this.#profile, { recursive: true, force: true, maxRetries: 20 });
  }

  #end(why: string): void {
    this.#over = why;
    for (const answer of this.#waiting.values()) answer({ error: { message: why } });
    this.#waiting.clear();
    for (const listener of this.#listeners.values()) listener();
  }

  #receive(message: Message): void {
    if (message.id !== undefined) {
      this.#waiting.get(message.id)?.(message);
      this.#waiting.delete(message.id);
      return;
    }
    const { method = '', params = {} } = message;
    this.#onEvent(method, params);
    // Whom it owes an answer would wait for ever.
    if (method === 'Inspector.targetCrashed')
      this.#end('the page crashed, as where its memory is not enough');
    this.#listeners.get(method)?.();
  }
}
