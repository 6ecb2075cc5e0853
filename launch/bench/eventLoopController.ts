// The controller as one would write it first, to compare with: typed messages by rclnodejs and the policy by
// onnxruntime-node's promise, all on one event loop. A process of its own, started by rosLatency.ts.
import { InferenceSession, Tensor } from 'onnxruntime-node';
import { messageOf } from '../../contract/errors.js';
import { INPUT, OUTPUT, readPolicyFile } from '../../contract/policyFile.js';
import { jointsOf } from '../../contract/terms.js';
import { loadRclnodejs, type RosMessage, type RosNode } from '../../controller/ros/management/rclnodejs.js';
import { startGarbage } from './load.js';

/** Its argument. */
export interface EventLoopOptions {
  /** Path of the policy file; every observation must be a joint's position. */
  policy: string;
  /** Make garbage on the event loop all the while. */
  garbage: boolean;
}

interface SubscribingNode extends RosNode {
  createSubscription(
    type: string,
    topic: string,
    options: object,
    callback: (message: RosMessage) => void,
  ): unknown;
}
interface JointState {
  name: string[];
  position: ArrayLike<number>;
}

/** As in rmw; the same as the robot map's. */
const KEEP_LAST = 1;
const RELIABLE = 1;
const BEST_EFFORT = 2;
const VOLATILE = 2;

async function main({ policy, garbage }: EventLoopOptions): Promise<void> {
  const { manifest, bytes } = readPolicyFile(policy);
  const session = await InferenceSession.create(bytes, { intraOpNumThreads: 1, interOpNumThreads: 1 });
  const rcl = await loadRclnodejs(['sensor_msgs', 'std_msgs']);
  await rcl.init(undefined, []);
  const node = new rcl.Node('event_loop_controller', '', undefined, {}) as SubscribingNode;
  const commands = node.createPublisher(
    'std_msgs/msg/Float64MultiArray',
    'forward_command_controller/commands',
    { qos: new rcl.QoS(KEEP_LAST, 1, RELIABLE, VOLATILE) },
  );
  const joints = jointsOf(manifest);
  const act = async ({ name, position }: JointState) => {
    const observation = Float32Array.from(joints, (joint) => position[name.indexOf(joint)]);
    const input = new Tensor('float32', observation, [1, observation.length]);
    const { [OUTPUT]: action } = await session.run({ [INPUT]: input });
    commands.publish({
      layout: { dim: [], data_offset: 0 },
      data: Float64Array.from(action.data as Float32Array),
    });
  };
  node.createSubscription(
    'sensor_msgs/msg/JointState',
    'joint_states',
    { qos: new rcl.QoS(KEEP_LAST, 32, BEST_EFFORT, VOLATILE) },
    (message) => void act(message as unknown as JointState).catch(fail),
  );
  if (garbage) startGarbage();
  node.spin();
}

function fail(error: unknown): void {
  process.stderr.write(`${messageOf(error)}\n`);
  process.exit(1);
}

process.on('disconnect', () => process.exit());
main(JSON.parse(process.argv[2]) as EventLoopOptions).catch(fail);
