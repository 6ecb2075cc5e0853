// The controller's ROS 2 node: lifecycle, parameters, services and topics, put together.

import type { ControlLink } from './controlLink.js';
import { Lifecycle } from './lifecycleServices.js';
import type { Ask, ManagementState, StartMessage } from './messages.js';
import { ParameterServices } from './parameterServices.js';
import type { Rclnodejs, RosNode } from './rclnodejs.js';
import { SafeNode } from './services.js';
import { Topics } from './topics.js';

export const NODE_NAME = 'farsight_controller';
/** The packages of messages that the node needs, beside those that come with every client. */
export const MESSAGE_PACKAGES = [
  'builtin_interfaces',
  'diagnostic_msgs',
  'lifecycle_msgs',
  'rcl_interfaces',
  'rosgraph_msgs',
  'statistics_msgs',
  'std_msgs',
  'std_srvs',
];

const PUBLISH_MS = 100;
/** How long the executor waits at most before it looks at the node anew. */
const SPIN_MS = 100;

export class ManagementNode {
  readonly node: RosNode;
  readonly #safe: SafeNode;
  readonly #lifecycle: Lifecycle;
  readonly #topics: Topics;

  /** ROS must be initialised. Throws a `FarsightError` for parameters that do not do. */
  constructor(
    rcl: Rclnodejs,
    link: ControlLink,
    { robot, defaults, values: kept }: Pick<StartMessage, 'robot' | 'defaults' | 'values'>,
  ) {
    this.node = new rcl.Node(NODE_NAME, '', undefined, {
      startParameterServices: false,
      startTypeDescriptionService: false,
    });
    const safe = new SafeNode(this.node);
    this.#safe = safe;
    const tellParameters = () => link.tell({ kind: 'parameters', parameters: { ...values } });
    const stage = () => this.#lifecycle.stage;
    const { values } = new ParameterServices(safe, defaults, kept, stage, tellParameters);
    tellParameters();
    this.#lifecycle = new Lifecycle(safe, link, () => ({ kind: 'configure', parameters: { ...values } }));
    this.#topics = new Topics(rcl, this.node, robot, values);

    const trigger = (name: string, ask: () => Ask) =>
      safe.serve('std_srvs/srv/Trigger', name, async () => {
        const { outcome, message } = await link.ask(ask());
        return { success: outcome === 'success', message };
      });
    trigger('~/rearm', () => ({ kind: 'rearm' }));
    trigger('~/reload_policy', () => ({ kind: 'swapPolicy', path: values.policy }));
  }

  hear(state: ManagementState): void {
    this.#lifecycle.follow(state.stage);
    this.#topics.hear(state);
  }

  say(level: 'info' | 'warn' | 'error', text: string): void {
    this.node.getLogger()[level](text);
  }

  /** Everything must exist before: creating something afterwards waits for the executor. */
  spin(): void {
    setInterval(() => {
      try {
        this.#topics.publish();
      } catch (error) {
        this.#safe.complain(error);
      }
    }, PUBLISH_MS);
    this.node.spin(SPIN_MS);
  }
}
