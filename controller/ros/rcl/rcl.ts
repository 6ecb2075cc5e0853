// A ROS 2 node through rcl: topics as serialised messages, polled and published by whoever calls, without an executor.
import koffi from 'koffi';
import { FarsightError } from '../../../contract/errors.js';
import { Departures } from './departures.js';
import { type Qos, withQos } from './qos.js';
import { QosConflicts } from './qosConflicts.js';
import { overriddenQos, type QosOverrides } from './qosOverrides.js';
import { type RclLibrary, rclLibrary, zeroedStruct } from './rclLibrary.js';
import { SerializedMessage } from './serializedMessage.js';
import { onBehalfOf } from './topicNames.js';
import { TriggerService } from './trigger.js';
import { type Source, Waiter } from './waiter.js';

/** Room for a message at first; the middleware makes more when one needs it. */
const ROOM = 4096;
const TAKE_FAILED = 401;
/** Nanoseconds in which readers must have had the last message. */
const LAST_WORD = 100e6;
/** rmw_message_info_t: room for it, and the place of the publisher's identity. */
const INFO = { size: 128, sequence: 16, publisher: 40, identity: 16 } as const;

/** Publishes serialised messages on a topic. */
export class RawPublisher {
  readonly topic: string;
  readonly #rcl: RclLibrary;
  readonly #node: Uint8Array;
  readonly #struct: Uint8Array;
  readonly #message: SerializedMessage;
  readonly conflicts: QosConflicts;
  /** A size_t; its lower half is all of it. */
  readonly #count = new Int32Array(2);

  constructor(rcl: RclLibrary, node: Uint8Array, struct: Uint8Array) {
    this.#rcl = rcl;
    this.#node = node;
    this.#struct = struct;
    this.#message = new SerializedMessage(rcl, ROOM);
    this.conflicts = new QosConflicts(rcl, struct, rcl.publisherEventInit);
    this.topic = rcl.publisherTopicName(struct);
  }

  /** Sends a message, CDR header included, and says whether the middleware took it. Allocates nothing, once a message as long was sent. */
  publish(bytes: Uint8Array): boolean {
    const message = this.#message;
    if (!message.set(bytes)) return false;
    if (this.#rcl.publishSerialized(this.#struct, message.struct, null) === 0) return true;
    this.#rcl.resetError();
    return false;
  }

  /** Subscriptions that it reaches: of the same topic and type, with a QoS that fits. Allocates nothing. */
  get matched(): number {
    if (this.#rcl.publisherSubscriptionCount(this.#struct, this.#count) !== 0) this.#rcl.resetError();
    return this.#count[0];
  }

  /** Whether every reliable reader has what was sent, within `wait` nanoseconds. */
  acknowledged(wait: number): boolean {
    if (this.#rcl.publisherWaitForAllAcked(this.#struct, wait) === 0) return true;
    this.#rcl.resetError();
    return false;
  }

  /** Its last message is on its way when it goes: the middleware would drop what a reliable reader does not have yet. */
  release(): void {
    this.acknowledged(LAST_WORD);
    this.#message.release();
    this.conflicts.release();
    this.#rcl.publisherFini(this.#struct, this.#node);
  }
}

/** Takes serialised messages from a topic. */
export class RawSubscription implements Source {
  readonly topic: string;
  readonly depth: number;
  readonly #rcl: RclLibrary;
  readonly #node: Uint8Array;
  readonly #struct: Uint8Array;
  readonly #message: SerializedMessage;
  readonly #info = new Uint8Array(new ArrayBuffer(INFO.size));
  /** Who published the message taken last: two messages of one publisher have the same four numbers. */
  readonly publisher = new Int32Array(this.#info.buffer, INFO.publisher, INFO.identity / 4);
  /** That message's number among its publisher's; the same for all where the middleware (Cyclone DDS) does not say. */
  readonly sequence = new BigUint64Array(this.#info.buffer, INFO.sequence, 1);
  readonly conflicts: QosConflicts;
  readonly #departures: Departures;
  /** Takes that the middleware answered with an error. */
  failures = 0;

  constructor(rcl: RclLibrary, node: Uint8Array, struct: Uint8Array, depth: number) {
    this.#rcl = rcl;
    this.#node = node;
    this.#struct = struct;
    this.depth = depth;
    this.#message = new SerializedMessage(rcl, ROOM);
    this.conflicts = new QosConflicts(rcl, struct, rcl.subscriptionEventInit);
    this.#departures = new Departures(rcl, struct);
    this.topic = rcl.subscriptionTopicName(struct);
  }

  /**
   * Takes the next waiting message and returns its length in bytes; 0 when none waits. It is then in `view`, from the
   * CDR header on, until the next `take`. Allocates nothing, unless a message is longer than any before.
   */
  take(): number {
    const result = this.#rcl.takeSerialized(this.#struct, this.#message.struct, this.#info, null);
    if (result === 0) {
      this.#message.look();
      return this.#message.length;
    }
    if (result !== TAKE_FAILED) {
      this.failures++;
      this.#rcl.resetError();
    }
    return 0;
  }

  get view(): DataView {
    return this.#message.view;
  }

  readonly kind = 'subscription';
  addTo(set: Uint8Array): void {
    this.#rcl.waitSetAddSubscription(set, this.#struct, null);
  }

  /** Publishers that it hears: of the same topic and type, with a QoS that fits. */
  get matched(): number {
    const count = new BigUint64Array(1);
    this.#rcl.subscriptionPublisherCount(this.#struct, count);
    return Number(count[0]);
  }

  takeEvents(): void {
    this.conflicts.look();
    this.#departures.count(this.matched);
  }

  /** Publishers that it heard and that have left. */
  get departed(): number {
    return this.#departures.count(this.matched);
  }

  release(): void {
    this.#message.release();
    this.conflicts.release();
    this.#departures.release();
    this.#rcl.subscriptionFini(this.#struct, this.#node);
  }
}

export interface RosNodeOptions {
  name: string;
  namespace?: string;
  /** The node that `~` and `{node}` mean in the names of topics, in the same namespace; this one when left out. */
  onBehalfOf?: string;
  /** What ROS parameters say of the topics' QoS. */
  qosOverrides?: QosOverrides;
  /** ROS arguments as a command line has them: `--ros-args -r from:=to …`. */
  arguments?: readonly string[];
}

/** One node in a context of its own. Everything made from it belongs to the thread that made it. */
export class RosNode {
  readonly #rcl = rclLibrary();
  readonly #context = zeroedStruct();
  readonly #node = zeroedStruct();
  readonly #made: { release(): void }[] = [];
  readonly #standsFor: string | undefined;
  readonly #overrides: QosOverrides;

  /** Throws a `FarsightError` when ROS 2 is not sourced, or refuses the name, the namespace or the arguments. */
  constructor(nodeOptions: RosNodeOptions) {
    const { name, namespace = '', arguments: given = [], onBehalfOf: standsFor, qosOverrides } = nodeOptions;
    const rcl = this.#rcl;
    this.#standsFor = standsFor;
    this.#overrides = qosOverrides ?? {};
    const options = zeroedStruct();
    this.#check(rcl.initOptionsInit(options), 'ROS 2 does not start');
    const texts = given.map((text) => Buffer.from(`${text}\0`));
    const addresses = BigUint64Array.from(texts, (text) => koffi.address(text));
    const started = rcl.init(texts.length, texts.length > 0 ? addresses : null, options, this.#context);
    rcl.initOptionsFini(options);
    this.#check(started, 'ROS 2 does not start');
    const result = rcl.nodeInit(this.#node, name, namespace, this.#context, rcl.nodeOptions());
    if (result !== 0) {
      const text = rcl.takeError();
      this.#end();
      throw new FarsightError(`no ROS 2 node '${name}' in namespace '${namespace}': ${text}`);
    }
  }

  #check(result: number, what: string): void {
    if (result !== 0) throw new FarsightError(`${what}: ${this.#rcl.takeError()}`);
  }

  /** A topic's name after expansion and remapping. Throws a `FarsightError` when ROS does not take it. */
  resolve(topic: string): string {
    const resolved = this.#rcl.resolveTopic(this.#node, this.#named(topic));
    if (resolved === undefined) throw new FarsightError(`topic '${topic}': ${this.#rcl.takeError()}`);
    return resolved;
  }

  #named(topic: string): string {
    return this.#standsFor === undefined ? topic : onBehalfOf(this.#standsFor, topic);
  }

  /** `topic` is expanded and remapped as ROS does; `type` is `package/msg/Name`. */
  publisher(topic: string, type: string, qos: Qos): RawPublisher {
    const rcl = this.#rcl;
    const struct = zeroedStruct();
    const own = overriddenQos(qos, this.resolve(topic), 'publisher', this.#overrides);
    const options = withQos(rcl.publisherOptions(), own);
    const name = this.#named(topic);
    const result = rcl.publisherInit(struct, this.#node, rcl.typeSupport(type), name, options);
    this.#check(result, `cannot publish on topic '${topic}'`);
    const publisher = new RawPublisher(rcl, this.#node, struct);
    this.#made.push(publisher);
    return publisher;
  }

  subscription(topic: string, type: string, qos: Qos): RawSubscription {
    const rcl = this.#rcl;
    const struct = zeroedStruct();
    const own = overriddenQos(qos, this.resolve(topic), 'subscription', this.#overrides);
    const options = withQos(rcl.subscriptionOptions(), own);
    const name = this.#named(topic);
    const result = rcl.subscriptionInit(struct, this.#node, rcl.typeSupport(type), name, options);
    this.#check(result, `cannot subscribe to topic '${topic}'`);
    const subscription = new RawSubscription(rcl, this.#node, struct, own.depth);
    this.#made.push(subscription);
    return subscription;
  }

  /** What wakes up when something waits in one of `sources`, which are this node's. */
  waiter(...sources: Source[]): Waiter {
    const waiter = new Waiter(this.#rcl, this.#context, sources);
    this.#made.push(waiter);
    return waiter;
  }

  /** Publishers on a topic of this full name, whatever their type and QoS, this process's own among them. */
  countPublishers(topic: string): number {
    const count = new BigUint64Array(1);
    this.#check(this.#rcl.countPublishers(this.#node, topic, count), `cannot look at topic '${topic}'`);
    return Number(count[0]);
  }

  /** Takes something that it made off the network before the rest. */
  drop(made: { release(): void }): void {
    const at = this.#made.indexOf(made);
    if (at >= 0) this.#made.splice(at, 1)[0].release();
  }

  /** A service of type `std_srvs/srv/Trigger`. */
  trigger(name: string): TriggerService {
    const rcl = this.#rcl;
    const struct = zeroedStruct();
    const type = rcl.typeSupport('std_srvs/srv/Trigger');
    const result = rcl.serviceInit(struct, this.#node, type, this.#named(name), rcl.serviceOptions());
    this.#check(result, `cannot offer service '${name}'`);
    const service = new TriggerService(rcl, this.#node, struct);
    this.#made.push(service);
    return service;
  }

  /** Topics that are known so far, by full name, with their types. */
  topics(): Map<string, string[]> {
    const rcl = this.#rcl;
    const found = new BigUint64Array(zeroedStruct().buffer);
    this.#check(rcl.topicNamesAndTypes(this.#node, rcl.allocator, 0, found), 'cannot list topics');
    const [count, names, , , , , , types] = found;
    const topics = new Map<string, string[]>();
    const strings = (at: bigint, size: bigint): string[] =>
      size === 0n ? [] : koffi.decode(at, koffi.array('const char *', Number(size)));
    // Each topic's types are a rcutils_string_array_t: count, strings, and the allocator's five pointers.
    const arrays = new BigUint64Array(
      count === 0n ? new ArrayBuffer(0) : koffi.view(types, 56 * Number(count)),
    );
    strings(names, count).forEach((name, i) => {
      topics.set(name, strings(arrays[7 * i + 1], arrays[7 * i]));
    });
    rcl.topicNamesAndTypesFini(found);
    return topics;
  }

  /** Takes everything that it made off the network, and itself. */
  release(): void {
    for (const made of this.#made.splice(0).reverse()) made.release();
    this.#rcl.nodeFini(this.#node);
    this.#end();
  }

  #end(): void {
    this.#rcl.shutdown(this.#context);
    this.#rcl.contextFini(this.#context);
  }
}
