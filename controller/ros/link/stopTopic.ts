// The emergency stop's topic: heard from reliable and best-effort publishers alike, every message of each.
import type { EmergencyStop } from '../../emergencyStop.js';
import type { RawSubscription } from '../rcl/rcl.js';
import { readBool } from './readMessages.js';
import type { RobotMap } from './robotMap.js';
import { StopLevels } from './stopLevels.js';

export type StopTopicOptions = NonNullable<RobotMap['emergencyStop']>;

/** Messages taken in one look; the rest wait for the next. */
const MOST_MESSAGES = 4096;

/** What is heard of it: a subscription, or what a test puts in its place. */
export type StopInbox = Pick<
  RawSubscription,
  'topic' | 'take' | 'view' | 'publisher' | 'matched' | 'departed'
>;

export class StopTopic {
  readonly #inboxes: readonly [reliable: StopInbox, bestEffort: StopInbox];
  readonly #timeout: number;
  readonly #stop: EmergencyStop;
  readonly #pressed: (by: string) => void;
  readonly #levels = new StopLevels();
  #heardAt: number | undefined;
  #wasHeard = false;

  /** `pressed` is told of each message that stops. */
  constructor(
    inboxes: readonly [reliable: StopInbox, bestEffort: StopInbox],
    { timeout = Infinity }: Pick<StopTopicOptions, 'timeout'>,
    stop: EmergencyStop,
    pressed: (by: string) => void,
  ) {
    this.#inboxes = inboxes;
    this.#timeout = timeout;
    this.#stop = stop;
    this.#pressed = pressed;
  }

  /** Takes all that waits, and sets the stop's state; `now` in seconds of any clock. */
  look(now: number): void {
    const stop = this.#stop;
    const levels = this.#levels;
    // Before the messages: of who has left by now, the last ones wait here.
    const departed = Math.max(...this.#inboxes.map((inbox) => inbox.departed));
    for (const [i, inbox] of this.#inboxes.entries()) {
      for (let taken = 0; taken < MOST_MESSAGES; taken++) {
        const length = inbox.take();
        if (length === 0) break;
        this.#heardAt = now;
        // Anything but a clear `false` stops the robot.
        const says = readBool(inbox.view, length) !== 0;
        levels.hear(inbox.publisher.join(), says, i === 0, now);
        if (!says) continue;
        stop.held = Math.max(1, stop.held);
        stop.press();
        this.#pressed(`topic ${inbox.topic}`);
      }
    }
    const publishers = Math.max(...this.#inboxes.map(({ matched }) => matched));
    levels.match(publishers, departed, now);
    stop.held = levels.held;
    stop.publishers = publishers;
    const age = this.#heardAt === undefined ? undefined : now - this.#heardAt;
    stop.age = age === undefined ? -1 : Math.min(1000 * age, 0x7fffffff);
    const fresh = this.#timeout === Infinity || (age ?? Infinity) <= this.#timeout;
    const heard = publishers > 0 && fresh;
    if (heard) this.#wasHeard = true;
    stop.heard = heard;
    stop.lost = this.#wasHeard && !heard;
  }
}
