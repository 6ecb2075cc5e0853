// Topics in memory, in the place of a middleware's, and a task of two joints for tests of the ROS part.
import { interfaceSchema } from '../../contract/terms.js';

export const legTask = interfaceSchema.parse({
  task: 'leg',
  controlRate: 50,
  observation: ['hip', 'knee'].flatMap((joint) => [
    { kind: 'jointPosition', joint },
    { kind: 'jointVelocity', joint },
  ]),
  action: ['hip', 'knee'].map((joint) => ({ kind: 'effort', joint, limits: [-20, 20] })),
  safety: {},
});

/** A queue of messages that keeps the newest. Each is of the publisher whose number is given with it. */
export class MemoryInbox {
  readonly depth = 32;
  readonly #bytes = new Uint8Array(4096);
  readonly view = new DataView(this.#bytes.buffer);
  readonly publisher = new Int32Array(4);
  readonly #ring: Uint8Array[] = new Array(this.depth).fill(new Uint8Array(0));
  readonly #publishers = new Int32Array(this.depth);
  #put = 0;
  #taken = 0;

  put(bytes: Uint8Array, publisher = 1): void {
    this.#publishers[this.#put % this.depth] = publisher;
    this.#ring[this.#put++ % this.depth] = bytes;
    if (this.#put - this.#taken > this.depth) this.#taken = this.#put - this.depth;
  }

  take(): number {
    if (this.#taken === this.#put) return 0;
    this.publisher[3] = this.#publishers[this.#taken % this.depth];
    const bytes = this.#ring[this.#taken++ % this.depth];
    this.#bytes.set(bytes);
    return bytes.length;
  }
}

export class MemoryOutbox {
  sent: Uint8Array | undefined;
  matched = 1;
  works = true;

  publish(bytes: Uint8Array): boolean {
    if (this.works) this.sent = bytes;
    return this.works;
  }
}

/** A subscription of the emergency stop's topic, which loses nothing. */
export class StopInbox {
  readonly topic = '/stop';
  readonly publisher = new Int32Array(4);
  view = new DataView(new ArrayBuffer(0));
  departed = 0;
  #matched = 1;
  readonly #waiting: { publisher: number; bytes: Uint8Array }[] = [];

  get matched(): number {
    return this.#matched;
  }

  set matched(publishers: number) {
    this.departed += Math.max(0, this.#matched - publishers);
    this.#matched = publishers;
  }

  say(publisher: number, bytes: Uint8Array): void {
    this.#waiting.push({ publisher, bytes });
  }

  take(): number {
    const message = this.#waiting.shift();
    if (!message) return 0;
    this.publisher.fill(message.publisher);
    this.view = new DataView(Uint8Array.from(message.bytes).buffer);
    return message.bytes.length;
  }
}
