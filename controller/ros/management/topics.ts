// What the node publishes: /diagnostics, the loop's latency, the mode and the fault.
import { PHASES } from '../../../contract/loop.js';
import { conflictText, refusedOf, type Status, statusesOf } from './diagnostics.js';
import type { LoopState, ManagementState } from './messages.js';
import type { ManagementParameters } from './parameters.js';
import type { Rclnodejs, RosNode, RosPublisher } from './rclnodejs.js';

/**
 * Columns of `~/latency`. The second is the `data_type` in `~/statistics/<phase>`: statistics_msgs has numbers for
 * the maximum (3) and the count (5) alone, so a percentile carries its own: 50, 90, 99, and 199 and 209 for p99.9 and
 * p99.99.
 */
export const PERCENTILES = [
  ['p50', 50],
  ['p90', 90],
  ['p99', 99],
  ['p999', 199],
  ['p9999', 209],
  ['max', 3],
] as const;
const SAMPLE_COUNT = 5;

/** As in rmw. */
const KEEP_LAST = 1;
const RELIABLE = 1;
const TRANSIENT_LOCAL = 1;
const SECOND_MS = 1000;

export class Topics {
  readonly #node: RosNode;
  readonly #robot: string;
  readonly #parameters: ManagementParameters;
  readonly #diagnostics: RosPublisher;
  readonly #latency: RosPublisher;
  readonly #statistics: Record<string, RosPublisher>;
  readonly #mode: RosPublisher;
  readonly #fault: RosPublisher;
  #state: ManagementState | undefined;
  #heardAt = performance.now();
  #refused: ReadonlyMap<string, number> = new Map();
  #refusedNext: ReadonlyMap<string, number> = new Map();
  #levels = '';
  #saidMode = '';
  #saidFault = '';
  #publishedAt = performance.now();
  readonly #saidConflicts = new Set<string>();

  constructor(rcl: Rclnodejs, node: RosNode, robot: string, parameters: ManagementParameters) {
    this.#node = node;
    this.#robot = robot;
    this.#parameters = parameters;
    const overridable = () => ({ qosOverridingOptions: rcl.QoSOverridingOptions.withDefaultPolicies() });
    const latched = { qos: new rcl.QoS(KEEP_LAST, 1, RELIABLE, TRANSIENT_LOCAL) };
    this.#diagnostics = node.createPublisher(
      'diagnostic_msgs/msg/DiagnosticArray',
      '/diagnostics',
      overridable(),
    );
    this.#latency = node.createPublisher('std_msgs/msg/Float64MultiArray', '~/latency', overridable());
    this.#statistics = Object.fromEntries(
      PHASES.map((phase) => [
        phase,
        node.createPublisher('statistics_msgs/msg/MetricsMessage', `~/statistics/${phase}`),
      ]),
    );
    this.#mode = node.createPublisher('std_msgs/msg/String', '~/mode', latched);
    this.#fault = node.createPublisher('std_msgs/msg/String', '~/fault', latched);
  }

  hear(state: ManagementState): void {
    this.#state = state;
    this.#heardAt = performance.now();
    const mode = state.loop?.mode ?? 'unconfigured';
    const fault = state.loop?.fault ?? (state.stop.set ? 'emergency stop' : 'none');
    if (mode !== this.#saidMode) this.#mode.publish({ data: mode });
    if (fault !== this.#saidFault) this.#fault.publish({ data: fault });
    this.#saidMode = mode;
    this.#saidFault = fault;
    for (const conflict of state.conflicts) {
      const key = `${conflict.ours} ${conflict.topic} ${conflict.policy}`;
      if (!this.#saidConflicts.has(key)) this.#node.getLogger().warn(`QoS: ${conflictText(conflict)}`);
      this.#saidConflicts.add(key);
    }
  }

  /** To be called often: once a second everything is published, a change of a level at once. */
  publish(): void {
    const now = performance.now();
    const statuses = statusesOf(this.#state, (now - this.#heardAt) / 1000, this.#parameters, this.#refused);
    const levels = statuses.map(({ level }) => level).join();
    const due = now - this.#publishedAt >= SECOND_MS;
    if (due || levels !== this.#levels) this.#publishDiagnostics(statuses);
    this.#levels = levels;
    if (!due) return;
    this.#publishedAt = now;
    this.#refused = this.#refusedNext;
    this.#refusedNext = new Map(this.#state?.sensors.map((sensor) => [sensor.topic, refusedOf(sensor)]));
    if (this.#state?.loop) this.#publishLatency(this.#state.loop);
  }

  #publishDiagnostics(statuses: readonly Status[]): void {
    this.#diagnostics.publish({
      header: { stamp: this.#stamp(), frame_id: '' },
      status: statuses.map(({ name, level, message, values }) => ({
        level,
        name: `${this.#node.name()}: ${name}`,
        message,
        hardware_id: this.#robot,
        values: Object.entries(values).map(([key, value]) => ({ key, value })),
      })),
    });
  }

  #publishLatency({ window }: LoopState): void {
    const columns = PERCENTILES.length;
    this.#latency.publish({
      layout: {
        dim: [
          { label: PHASES.join(), size: PHASES.length, stride: PHASES.length * columns },
          { label: PERCENTILES.map(([name]) => name).join(), size: columns, stride: columns },
        ],
        data_offset: 0,
      },
      data: PHASES.flatMap((phase) => PERCENTILES.map(([name]) => window.phases[phase][name])),
    });
    const stop = this.#stamp();
    const nanoseconds = stop.sec * 1e9 + stop.nanosec - window.seconds * 1e9;
    const start = { sec: Math.max(0, Math.floor(nanoseconds / 1e9)), nanosec: 0 };
    start.nanosec = Math.max(0, Math.round(nanoseconds - start.sec * 1e9)) % 1e9;
    for (const phase of PHASES) {
      this.#statistics[phase].publish({
        measurement_source_name: this.#node.getFullyQualifiedName(),
        metrics_source: phase,
        unit: 'us',
        window_start: start,
        window_stop: stop,
        statistics: [
          ...PERCENTILES.map(([name, type]) => ({ data_type: type, data: window.phases[phase][name] })),
          { data_type: SAMPLE_COUNT, data: window.ticks },
        ],
      });
    }
  }

  #stamp(): { sec: number; nanosec: number } {
    const { seconds, nanoseconds } = this.#node.now().secondsAndNanoseconds;
    return { sec: Number(seconds), nanosec: Number(nanoseconds) };
  }
}
