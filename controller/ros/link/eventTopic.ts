// Events by `std_msgs/msg/Header`, as a simulated robot tells them: each holds from the sensor message with its stamp on.
import { CdrReader } from './cdr.js';
import type { Inbox } from './endpoints.js';

export class EventTopic {
  readonly #inbox: Inbox;
  readonly #reader = new CdrReader();
  readonly #stamp = new Int32Array(2);
  #waiting = false;

  constructor(inbox: Inbox) {
    this.#inbox = inbox;
  }

  drain(): void {
    const reader = this.#reader;
    for (let i = 0; i < this.#inbox.depth; i++) {
      const length = this.#inbox.take();
      if (length === 0) return;
      reader.begin(this.#inbox.view, length);
      const seconds = reader.int32();
      const nanoseconds = reader.int32();
      reader.skipString();
      if (!reader.ended) continue;
      this.#stamp[0] = seconds;
      this.#stamp[1] = nanoseconds;
      this.#waiting = true;
    }
  }

  /** Whether an event begins to hold with the sensor message of this stamp; true once for each. */
  holdsAt(sensor: Int32Array): boolean {
    if (!this.#waiting) return false;
    const stamp = this.#stamp;
    if (sensor[0] < stamp[0] || (sensor[0] === stamp[0] && sensor[1] < stamp[1])) return false;
    this.#waiting = false;
    return true;
  }
}
