// The node's lifecycle as `ros2 lifecycle` sees it: its five services and its topic, over the controller's own stages.

import type { ControlLink } from './controlLink.js';
import type { LifecycleState, Stage, Transition } from './lifecycle.js';
import { outcomeOf, requestedTransition, STAGES, STATES, TRANSITIONS, transitionsFrom } from './lifecycle.js';
import type { Ask } from './messages.js';
import type { RosPublisher } from './rclnodejs.js';
import type { SafeNode } from './services.js';

const stateMessage = (label: LifecycleState) => ({ id: STATES[label], label });
const transitionMessage = ({ id, label }: Transition) => ({ id, label });
const describe = (transition: Transition) => ({
  transition: transitionMessage(transition),
  start_state: stateMessage(transition.start),
  goal_state: stateMessage(transition.goal),
});

/**
 * rclnodejs has a LifecycleNode of its own, which a request with an unknown id and no label ends with its process
 * (2.2.0); this one answers it with `success: false`.
 */
export class Lifecycle {
  readonly #safe: SafeNode;
  readonly #link: ControlLink;
  readonly #configure: () => Ask;
  readonly #events: RosPublisher;
  #state: LifecycleState = 'unconfigured';

  /** `configure` is what to ask of the controller at the transition of that name. */
  constructor(safe: SafeNode, link: ControlLink, configure: () => Ask) {
    this.#safe = safe;
    this.#link = link;
    this.#configure = configure;
    this.#events = safe.node.createPublisher('lifecycle_msgs/msg/TransitionEvent', '~/transition_event');
    const graph = 'lifecycle_msgs/srv/GetAvailableTransitions';
    safe.serve('lifecycle_msgs/srv/GetState', '~/get_state', () => ({
      current_state: stateMessage(this.#state),
    }));
    safe.serve('lifecycle_msgs/srv/GetAvailableStates', '~/get_available_states', () => ({
      available_states: (Object.keys(STATES) as LifecycleState[]).map(stateMessage),
    }));
    safe.serve(graph, '~/get_available_transitions', () => ({
      available_transitions: transitionsFrom(this.#state).map(describe),
    }));
    safe.serve(graph, '~/get_transition_graph', () => ({ available_transitions: TRANSITIONS.map(describe) }));
    safe.serve(
      'lifecycle_msgs/srv/ChangeState',
      '~/change_state',
      async ({ transition: { id, label } }: { transition: { id: number; label: string } }) => {
        const transition = requestedTransition(this.#state, id, label);
        return { success: transition !== undefined && (await this.#change(transition)) };
      },
    );
  }

  /** The stage, or undefined while a transition is under way. */
  get stage(): Stage | undefined {
    return STAGES.find((stage) => stage === this.#state);
  }

  /** The controller is at a stage that nobody asked for here: a fault, a key, or a start of this process anew. */
  follow(stage: Stage): void {
    while (this.stage && this.stage !== stage) {
      const before = this.#state;
      if (before === 'finalized') {
        this.#state = stage;
        return;
      }
      const up = STAGES.indexOf(stage) > STAGES.indexOf(this.stage);
      let label = before === 'unconfigured' ? 'configure' : up ? 'activate' : 'cleanup';
      if (stage === 'finalized') label = 'shutdown';
      else if (before === 'active') label = 'deactivate';
      this.#go(requestedTransition(before, 0, label)!);
      this.#go(outcomeOf(this.#state, 'success'));
      this.#safe.node.getLogger().info(`${before} → ${this.#state}: the controller went there by itself`);
    }
  }

  async #change(transition: Transition): Promise<boolean> {
    const logger = this.#safe.node.getLogger();
    this.#go(transition);
    const { outcome, message } = await this.#link.ask(this.#work(transition.label));
    this.#go(outcomeOf(this.#state, outcome));
    if (outcome === 'success') logger.info(`${transition.label}: ${message}`);
    else logger.error(`${transition.label} ${outcome === 'failure' ? 'refused' : 'failed'}: ${message}`);
    if (outcome === 'error') await this.#recover(`${transition.label} failed: ${message}`);
    return outcome === 'success';
  }

  /** ROS's way out of an error: stop, clean up, and begin anew; or end for good. */
  async #recover(reason: string): Promise<void> {
    await this.#link.ask({ kind: 'emergencyStop', reason });
    const { outcome } = await this.#link.ask({ kind: 'cleanup' });
    this.#go(outcomeOf(this.#state, outcome));
  }

  #work(label: string): Ask {
    return label === 'configure'
      ? this.#configure()
      : { kind: label as 'activate' | 'deactivate' | 'cleanup' | 'shutdown' };
  }

  #go(transition: Transition): void {
    this.#state = transition.goal;
    const { seconds, nanoseconds } = this.#safe.node.now().secondsAndNanoseconds;
    this.#events.publish({
      timestamp: BigInt(seconds) * 1_000_000_000n + BigInt(nanoseconds),
      ...describe(transition),
    });
  }
}
