// A topic's quality of service: what may be chosen of it, and where a publisher's or subscription's options hold it.

/** rmw_qos_profile_t, at the beginning of a publisher's and of a subscription's options: place of each field. */
const QOS = {
  ...{ history: 0, depth: 8, reliability: 16, durability: 20 },
  ...{ deadline: 24, liveliness: 56, lease: 64 },
} as const;
const KEEP_LAST = 1;
const KEEP_ALL = 2;
const RELIABILITY = { reliable: 1, bestEffort: 2 } as const;
const DURABILITY = { transientLocal: 1, volatile: 2 } as const;
const LIVELINESS = { automatic: 1, manual: 3 } as const;

export interface Qos {
  reliability: keyof typeof RELIABILITY;
  durability: keyof typeof DURABILITY;
  /** Messages kept for a reader that is late. */
  depth: number;
  /** All are kept instead, as long as there is memory. */
  keepAll?: boolean;
  /** Seconds between two messages at most: a publisher offers that, a subscription asks for it; left out: no matter. */
  deadline?: number;
  /** Who says that a publisher lives: the middleware, or each message of the topic itself, `manual`. */
  liveliness?: keyof typeof LIVELINESS;
  /** Seconds after which a publisher of which that is not said is dead; left out: never. */
  lease?: number;
}

/** The options of a publisher or of a subscription, with `qos` written into them. */
export function withQos(options: Uint8Array, qos: Qos): Uint8Array {
  const { reliability, durability, depth, keepAll, deadline, liveliness = 'automatic', lease } = qos;
  const view = new DataView(options.buffer, options.byteOffset);
  view.setInt32(QOS.history, keepAll ? KEEP_ALL : KEEP_LAST, true);
  view.setBigUint64(QOS.depth, BigInt(depth), true);
  view.setInt32(QOS.reliability, RELIABILITY[reliability], true);
  view.setInt32(QOS.durability, DURABILITY[durability], true);
  view.setInt32(QOS.liveliness, LIVELINESS[liveliness], true);
  for (const [place, seconds] of [
    [QOS.deadline, deadline],
    [QOS.lease, lease],
  ] as const) {
    if (seconds === undefined) continue;
    view.setBigUint64(place, BigInt(Math.floor(seconds)), true);
    view.setBigUint64(place + 8, BigInt(Math.round((seconds % 1) * 1e9)), true);
  }
  return options;
}
