// A policy that balances InvertedPendulum by a linear law, and answers NaN where the hinge is measured too fast.
import { floatTensor, tensorInfo } from '../../contract/onnx.js';
import { INPUT, OUTPUT, writePolicyFile } from '../../contract/policyFile.js';
import { UNTRAINED } from '../fixtures/policy.js';

/** N per unit of the actuator, by a linear-quadratic regulator: of slider and hinge, positions and then velocities. */
const GAINS = [2.05, 9.66, 1.88, 1.6];
export const FORCE = 3;
/** rad/s, from which on the policy answers NaN. */
const TOO_FAST = 4;

export const RATE_LIMIT = 100;
export const STUCK_TIMEOUT = 0.2;
export const SENSOR_TIMEOUT = 0.1;

export function writeBalancingPolicy(path: string): void {
  // action = FORCE tanh(gains · observation / FORCE) + 0 √(TOO_FAST² - speed²)
  const node = (opType: string, input: string[], output: string) => ({ opType, input, output: [output] });
  const scalar = (name: string, value: number) => floatTensor(name, [1], Float32Array.of(value));
  const graph = {
    name: 'balancing',
    node: [
      node('MatMul', [INPUT, 'gains'], 'law'),
      node('Tanh', ['law'], 'bounded'),
      node('Mul', ['bounded', 'force'], 'effort'),
      node('MatMul', [INPUT, 'hinge'], 'speed'),
      node('Mul', ['speed', 'speed'], 'squared'),
      node('Sub', ['fast', 'squared'], 'rest'),
      node('Sqrt', ['rest'], 'root'),
      node('Mul', ['root', 'zero'], 'nothing'),
      node('Add', ['effort', 'nothing'], OUTPUT),
    ],
    initializer: [
      floatTensor(
        'gains',
        [4, 1],
        Float32Array.from(GAINS, (gain) => gain / FORCE),
      ),
      floatTensor('hinge', [4, 1], Float32Array.of(0, 0, 0, 1)),
      scalar('force', FORCE),
      scalar('fast', TOO_FAST ** 2),
      scalar('zero', 0),
    ],
    input: [tensorInfo(INPUT, [1, 4])],
    output: [tensorInfo(OUTPUT, [1, 1])],
  };
  const term = (kind: 'jointPosition' | 'jointVelocity', joint: string) => ({
    kind,
    joint,
    scale: 1,
    offset: 0,
  });
  const monitored = { velocity: 30, jumpMargin: 1, stuckTimeout: STUCK_TIMEOUT };
  writePolicyFile(path, graph, {
    version: 1,
    task: 'inverted-pendulum',
    controlRate: 100,
    observation: [
      term('jointPosition', 'slider'),
      term('jointPosition', 'hinge'),
      term('jointVelocity', 'slider'),
      term('jointVelocity', 'hinge'),
    ],
    action: [{ kind: 'effort', joint: 'slider', limits: [-FORCE, FORCE] }],
    safety: {
      joints: [
        { joint: 'slider', position: [-0.98, 0.98], commandRate: RATE_LIMIT, ...monitored },
        { joint: 'hinge', ...monitored },
      ],
      sensorTimeout: SENSOR_TIMEOUT,
      missed: { longest: 0.4, share: 0.5, window: 2 },
    },
    provenance: UNTRAINED,
    observationStatistics: {
      mean: [0, 0, 0, 0],
      sd: [1, 1, 1, 1],
      low: [-1, -1, -1, -1],
      high: [1, 1, 1, 1],
    },
    selfCheck: [
      { observation: [0, 0, 0, 0], action: [0] },
      { observation: [0.1, 0.02, 0, 1], action: [FORCE * Math.tanh((0.205 + 0.1932 + 1.6) / FORCE)] },
    ],
  });
}
