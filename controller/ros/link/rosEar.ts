// How the guard hears ROS 2: the stop's topic and service on a node of their own, and who else commands the robot.
import type { EmergencyStop } from '../../emergencyStop.js';
import { withRealtimeThreads } from '../rcl/middlewareThreads.js';
import { type RawSubscription, RosNode, type RosNodeOptions } from '../rcl/rcl.js';
import type { TriggerService } from '../rcl/trigger.js';
import type { Waiter } from '../rcl/waiter.js';
import { StopTopic, type StopTopicOptions } from './stopTopic.js';

/** Calls of the service that are answered in one look. */
const MOST_CALLS = 64;
/** Seconds between two looks at who publishes commands. */
const GRAPH = 0.05;

export class RosEar {
  readonly #node: RosNode;
  readonly #service: TriggerService;
  readonly #stop: EmergencyStop;
  readonly #heard: (by: string) => void;
  #waiter: Waiter;
  #topic: StopTopic | undefined;
  #subscriptions: RawSubscription[] = [];
  #commandTopics: readonly string[] = [];
  #lookedAt = 0;

  /** `heard` is told who pressed. Throws a `FarsightError` when ROS 2 does not do. */
  constructor(node: RosNodeOptions, stop: EmergencyStop, heard: (by: string) => void) {
    this.#stop = stop;
    this.#heard = heard;
    this.#node = withRealtimeThreads(() => new RosNode(node)).made;
    this.#service = this.#node.trigger('~/emergency_stop');
    this.#waiter = this.#node.waiter(this.#service);
  }

  /**
   * Listens to another topic from now on, or to none. Of the two subscriptions one is best-effort and hears every
   * publisher, the other reliable, and loses nothing of those that send again.
   */
  open(topic: StopTopicOptions | undefined): void {
    const stop = this.#stop;
    this.#topic = undefined;
    for (const made of [this.#waiter, ...this.#subscriptions.splice(0)]) this.#node.drop(made);
    this.#waiter = this.#node.waiter(this.#service);
    stop.held = 0;
    stop.lost = false;
    stop.heard = topic === undefined;
    stop.publishers = topic === undefined ? -1 : 0;
    stop.age = -1;
    if (!topic) return;
    const subscribe = (reliability: 'reliable' | 'bestEffort') => {
      // A flood from one publisher must not push out another's word.
      const qos = { ...topic.qos, reliability, depth: 1, keepAll: true };
      const subscription = this.#node.subscription(topic.topic, 'std_msgs/msg/Bool', qos);
      this.#subscriptions.push(subscription);
      return subscription;
    };
    const inboxes = [subscribe('reliable'), subscribe('bestEffort')] as const;
    this.#node.drop(this.#waiter);
    this.#waiter = this.#node.waiter(this.#service, ...inboxes);
    this.#topic = new StopTopic(inboxes, topic, stop, this.#heard);
  }

  /** Counts who publishes on these topics from now on. */
  watch(commandTopics: readonly string[]): void {
    this.#commandTopics = commandTopics;
    this.#stop.commandPublishers = 0;
    this.#lookedAt = 0;
  }

  /** Waits for at most `milliseconds`, and hears all that has come. */
  listen(milliseconds: number): void {
    this.#waiter.wait(1e6 * milliseconds);
    for (let calls = 0; calls < MOST_CALLS && this.#service.take(); calls++) {
      this.#stop.press();
      this.#heard('service ~/emergency_stop');
      this.#service.answer(true, 'the emergency stop is set: the robot is stopped until it is rearmed');
    }
    const now = performance.now() / 1000;
    this.#topic?.look(now);
    if (now - this.#lookedAt < GRAPH) return;
    this.#lookedAt = now;
    let most = 0;
    for (const topic of this.#commandTopics) most = Math.max(most, this.#node.countPublishers(topic));
    this.#stop.commandPublishers = most;
  }

  release(): void {
    this.#node.release();
  }
}
