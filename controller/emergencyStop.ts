// The emergency stop as a state in shared memory: any source sets it, from the process's first moment; only a person ends it.

/** Places in the words. */
const PLACE = {
  /** How often it was pressed, by any source; it is set while this differs from `cleared`, or while a source holds it. */
  presses: 0,
  cleared: 1,
  /** Sources whose newest word is stop. */
  held: 2,
  /** 1 while the topic that is configured is not to be heard: silent beyond its timeout, or without a publisher. */
  lost: 3,
  /** 1 when the topic that is configured was heard as it must be before the policy may act, or none is configured. */
  heard: 4,
  /** Publishers on the configured topic; -1: none is configured. */
  publishers: 5,
  /** Publishers on the busiest of the command topics, our own among them. */
  commandPublishers: 6,
  /** Changed by the thread that listens, as long as it does. */
  beat: 7,
  /** Milliseconds since anything was heard on the configured topic; -1: nothing was. */
  age: 8,
  length: 9,
} as const;

/** One for a process, whatever loops it serves. Any thread may look and press; none waits. */
export class EmergencyStop {
  readonly words: Int32Array;

  /** A new one that is not set, without a topic; or another thread's view of the same. */
  constructor(words?: Int32Array) {
    this.words = words ?? new Int32Array(new SharedArrayBuffer(4 * PLACE.length));
    if (words) return;
    this.heard = true;
    this.publishers = -1;
    this.age = -1;
  }

  press(): void {
    Atomics.add(this.words, PLACE.presses, 1);
  }

  /** Whether the robot must be stopped. */
  get set(): boolean {
    const { words } = this;
    return (
      Atomics.load(words, PLACE.presses) !== Atomics.load(words, PLACE.cleared) ||
      Atomics.load(words, PLACE.held) > 0
    );
  }

  /** A person says that it is over: refused, with false, while a source still says stop. A press meanwhile stays. */
  release(): boolean {
    const { words } = this;
    const presses = Atomics.load(words, PLACE.presses);
    if (Atomics.load(words, PLACE.held) > 0) return false;
    Atomics.store(words, PLACE.cleared, presses);
    return true;
  }

  get held(): number {
    return Atomics.load(this.words, PLACE.held);
  }
  set held(sources: number) {
    Atomics.store(this.words, PLACE.held, sources);
  }

  get lost(): boolean {
    return Atomics.load(this.words, PLACE.lost) === 1;
  }
  set lost(lost: boolean) {
    Atomics.store(this.words, PLACE.lost, lost ? 1 : 0);
  }

  get heard(): boolean {
    return Atomics.load(this.words, PLACE.heard) === 1;
  }
  set heard(heard: boolean) {
    Atomics.store(this.words, PLACE.heard, heard ? 1 : 0);
  }

  /** Of the configured topic; -1 when none is configured. */
  get publishers(): number {
    return Atomics.load(this.words, PLACE.publishers);
  }
  set publishers(count: number) {
    Atomics.store(this.words, PLACE.publishers, count);
  }

  get commandPublishers(): number {
    return Atomics.load(this.words, PLACE.commandPublishers);
  }
  set commandPublishers(count: number) {
    Atomics.store(this.words, PLACE.commandPublishers, count);
  }

  get age(): number {
    return Atomics.load(this.words, PLACE.age);
  }
  set age(milliseconds: number) {
    Atomics.store(this.words, PLACE.age, milliseconds);
  }

  get beats(): number {
    return Atomics.load(this.words, PLACE.beat);
  }
  beat(): void {
    Atomics.add(this.words, PLACE.beat, 1);
  }

  /** As it is now, for people. */
  state() {
    const { set, held, heard, publishers, age, commandPublishers } = this;
    return {
      set,
      held,
      heard,
      publishers: publishers < 0 ? null : publishers,
      age: age < 0 ? null : age / 1000,
      commandPublishers,
    };
  }
}
