// Services of the node that no peer can bring down: whatever a callback throws is logged, and ends nothing.
import { messageOf } from '../../../contract/errors.js';
import type { RosMessage, RosNode } from './rclnodejs.js';

/** Milliseconds between two lines about peers' faults. */
const QUIET_MS = 1000;

export class SafeNode {
  readonly node: RosNode;
  #saidAt = -Infinity;
  #unsaid = 0;

  /**
   * Takes a node's callbacks in hand. rclnodejs's executor calls the node's `execute` with all that is ready, and an
   * error that leaves it ends the process; here one item's error leaves the others alone.
   */
  constructor(node: RosNode) {
    this.node = node;
    const execute = node.execute;
    node.execute = (handles) => {
      for (const handle of handles) {
        try {
          execute.call(node, [handle]);
        } catch (error) {
          this.complain(error);
        }
      }
    };
  }

  /** At most one line a second: a peer may go on for long. */
  complain(error: unknown): void {
    const now = performance.now();
    if (now - this.#saidAt < QUIET_MS) {
      this.#unsaid++;
      return;
    }
    const more = this.#unsaid > 0 ? ` (and ${this.#unsaid} more)` : '';
    this.node.getLogger().warn(`a request could not be served: ${messageOf(error)}${more}`);
    this.#saidAt = now;
    this.#unsaid = 0;
  }

  /** `handle` gives the response's fields. */
  serve(type: string, name: string, handle: (request: never) => RosMessage | Promise<RosMessage>): void {
    this.node.createService(type, name, {}, async (request, response) => {
      try {
        response.send(await handle(request as never));
      } catch (error) {
        this.complain(error);
      }
    });
  }
}
