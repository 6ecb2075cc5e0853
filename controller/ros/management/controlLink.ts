// The management process's side of the talk with the control process: signs of life, requests and their answers.
import { messageOf } from '../../../contract/errors.js';
import { type Answer, type Ask, type ToControl, toManagementSchema } from './messages.js';

const HEARTBEAT_MS = 100;
/** Requests under way at once; whoever comes after is told to try again. */
const MOST_PENDING = 16;
/** Loading and warming a policy takes seconds; how long configure waits for the robot is for the parameters to say. */
const ANSWER_MS = 60_000;

const LATE = `the control process did not answer in ${ANSWER_MS / 1000} s`;

type Pending = { answered: (answer: Answer) => void; timer?: NodeJS.Timeout };
type Told = Exclude<(typeof toManagementSchema)['_output'], { kind: 'answer' }>;

export class ControlLink {
  readonly #pending = new Map<number, Pending>();
  #next = 0;
  #emergencyStop: Promise<Answer> | undefined;

  /** `told` hears whatever is no answer. */
  constructor(told: (message: Told) => void) {
    process.on('message', (message) => {
      const parsed = toManagementSchema.safeParse(message);
      if (!parsed.success) {
        process.stderr.write(`management: not understood: ${messageOf(parsed.error)}\n`);
        return;
      }
      if (parsed.data.kind === 'answer') this.#answered(parsed.data);
      else told(parsed.data);
    });
  }

  beginHeartbeat(): void {
    setInterval(() => this.tell({ kind: 'heartbeat' }), HEARTBEAT_MS);
  }

  tell(message: ToControl): void {
    if (process.connected) process.send!(message, () => {});
  }

  /** The control process's answer; never rejects. However many ask for an emergency stop at once, it is one. */
  ask(ask: Ask): Promise<Answer> {
    if (ask.kind !== 'emergencyStop') return this.#ask(ask);
    this.#emergencyStop ??= this.#ask(ask).finally(() => {
      this.#emergencyStop = undefined;
    });
    return this.#emergencyStop;
  }

  #ask(ask: Ask): Promise<Answer> {
    if (this.#pending.size >= MOST_PENDING && ask.kind !== 'emergencyStop')
      return Promise.resolve({ outcome: 'failure', message: 'busy with earlier requests: try again' });
    const id = this.#next++;
    return new Promise((resolve) => {
      const late = { id, outcome: 'error', message: LATE } as const;
      const waits = ask.kind === 'configure' || ask.kind === 'swapPolicy';
      const timer = waits ? undefined : setTimeout(() => this.#answered(late), ANSWER_MS);
      this.#pending.set(id, { answered: resolve, timer });
      this.tell({ kind: 'request', id, ask });
    });
  }

  #answered({ id, outcome, message }: Answer & { id: number }): void {
    const pending = this.#pending.get(id);
    if (!pending) return;
    this.#pending.delete(id);
    clearTimeout(pending.timer);
    pending.answered({ outcome, message });
  }
}
