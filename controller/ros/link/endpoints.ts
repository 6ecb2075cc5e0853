// The ends of topics that a link holds: where messages wait for it and where they leave, whoever carries them.

/** One end of a topic, ours. */
export interface Endpoint {
  /** Peers whose QoS does not fit, see `QosConflicts`. */
  readonly conflicts?: { look(): void; readonly total: number; readonly policy: number };
}

/** Where messages wait: a `RawSubscription`, or what a rehearsal or a test puts in its place. */
export interface Inbox extends Endpoint {
  readonly view: DataView;
  readonly depth: number;
  /** Who published the message taken last: two messages of one publisher have the same numbers. `[4]` */
  readonly publisher: Int32Array;
  take(): number;
}

/** Where messages leave: a `RawPublisher`, or what a rehearsal or a test puts in its place. */
export interface Outbox extends Endpoint {
  /** Who listens. */
  readonly matched: number;
  publish(bytes: Uint8Array): boolean;
}
