// What robots tell over MQTT, for Prometheus: whole histograms as cumulative buckets, counts and states by robot.
import type { RequestListener } from 'node:http';
import type { MetricObjectWithValues, MetricValue } from 'prom-client';
import { Registry } from 'prom-client';
import { type HistogramSample, upperEdge } from '../contract/histogram.js';
import { FAULTS, MODES, PHASES } from '../contract/loop.js';
import type { Telemetry } from '../contract/telemetry.js';
import type { RobotState } from './watcher.js';

type Kind = 'counter' | 'gauge' | 'histogram';
type Value = MetricValue<string> & { metricName?: string };
type Robots = () => Iterable<RobotState>;

/** Two edges an octave from 1 µs to 1 s, ns; what a bucket of ours straddles counts to the edge above. */
const EDGES = edges(1e3, 1e9, 2);

/** The text of `/metrics`, of all robots as they are when it is asked for. */
export class RobotMetrics {
  readonly #registry = new Registry();
  readonly #robots: Robots;

  constructor(robots: Robots) {
    this.#robots = robots;
    this.#each('robot_online', 'gauge', 'Whether the robot is connected', ({ connection }) =>
      Number(connection === 'online'),
    );
    this.#telemetry('ticks_total', 'counter', 'Ticks of the loop', ({ ticks }) => ticks);
    this.#telemetry('missed_ticks_total', 'counter', 'Ticks missed', ({ missed }) => missed);
    this.#telemetry('longest_miss_ticks', 'gauge', 'Most ticks missed on end', (t) => t.longestMiss);
    this.#telemetry('loop_rate_hertz', 'gauge', "The loop's rate", ({ rateHz }) => rateHz);
    this.#telemetry('realtime_scheduling', 'gauge', 'Whether the loop has SCHED_FIFO', ({ scheduling }) =>
      Number(scheduling === 'fifo'),
    );
    this.#telemetry(
      'garbage_collections_total',
      'counter',
      'Garbage collections in the loop',
      (t) => t.garbageCollections,
    );
    this.#telemetry(
      'resident_bytes',
      'gauge',
      "Memory of the controller's process",
      (t) => t.machine?.memory,
    );
    this.#telemetry('cpu_hertz', 'gauge', 'Frequency of the slowest processor', ({ machine }) =>
      machine?.megahertz == null ? undefined : machine.megahertz * 1e6,
    );
    this.#telemetry(
      'temperature_celsius',
      'gauge',
      'Of the hottest zone',
      (t) => t.machine?.celsius ?? undefined,
    );
    this.#telemetry('emergency_stop', 'gauge', 'Whether the emergency stop is set', ({ emergencyStop }) =>
      emergencyStop ? Number(emergencyStop.set) : undefined,
    );
    this.#telemetry('recorded_rows_total', 'counter', 'Rows on the disk', (t) => t.recording?.rows);
    this.#telemetry('lost_rows_total', 'counter', 'Rows that the recorder lost', (t) => t.recording?.lost);
    this.#labelled('mode', 'gauge', 'The mode is 1, the others 0', 'mode', (state) =>
      MODES.map((mode) => [mode, Number(state.raw?.mode === mode)]),
    );
    this.#labelled('fault', 'gauge', 'The latched fault is 1', 'fault', ({ raw }) =>
      FAULTS.filter((fault) => fault !== 'none').map((fault) => [fault, Number(raw?.fault === fault)]),
    );
    this.#labelled(
      'interventions_total',
      'counter',
      'Commands that the envelope changed',
      'kind',
      ({ raw }) => Object.entries(raw?.interventions ?? {}),
    );
    this.#labelled('dropped_messages_total', 'counter', 'Messages that did not get out', 'kind', ({ raw }) =>
      Object.entries(raw?.dropped ?? {}),
    );
    this.#labelled(
      'page_faults_total',
      'counter',
      'Page faults, of the process and of the loop',
      'of',
      ({ raw }) => {
        const { process, loop } = raw?.machine?.pageFaults ?? {};
        return [
          ...Object.entries(process ?? {}).map(([kind, n]) => [`process ${kind}`, n] as const),
          ...Object.entries(loop ?? {}).map(([kind, n]) => [`loop ${kind}`, n] as const),
        ];
      },
    );
    this.#transfer('recordings_bytes', 'gauge', "Recordings on the robot's disk", ({ disk }) => disk.used);
    this.#transfer(
      'recordings_quota_bytes',
      'gauge',
      'Room that recordings may have',
      ({ disk }) => disk.quota,
    );
    this.#transfer('disk_free_bytes', 'gauge', "Free on the robot's disk", ({ disk }) => disk.free);
    this.#transfer(
      'upload_waiting_bytes',
      'gauge',
      'Recordings that wait for the collector',
      (t) => t.waiting.bytes,
    );
    this.#transfer('uploaded_bytes_total', 'counter', 'Bytes that the collector took', ({ sent }) => sent);
    this.#transfer(
      'dropped_rows_total',
      'counter',
      'Rows deleted before the collector had them',
      (t) => t.dropped.rows,
    );
    this.#histogram('phase_seconds', 'Parts of a tick', (raw) =>
      PHASES.map((phase) => [{ phase }, raw.phases[phase]]),
    );
    this.#histogram('sensor_age_seconds', 'Age of the measurement that a tick had', ({ sensorAge }) =>
      sensorAge ? [[{}, sensorAge.total]] : [],
    );
    this.#histogram(
      'wake_jitter_seconds',
      'How far apart two wake-ups were from their ticks',
      ({ jitter }) => (jitter ? [[{}, jitter.total]] : []),
    );
  }

  get contentType(): string {
    return this.#registry.contentType;
  }

  text(): Promise<string> {
    return this.#registry.metrics();
  }

  #each(name: string, type: Kind, help: string, of: (state: RobotState) => number | undefined): void {
    this.#register(name, type, help, (state) => {
      const value = of(state);
      return value === undefined ? [] : [{ labels: {}, value }];
    });
  }

  #telemetry(name: string, type: Kind, help: string, of: (raw: Telemetry) => number | undefined): void {
    this.#each(name, type, help, ({ raw }) => raw && of(raw));
  }

  #transfer(
    name: string,
    type: Kind,
    help: string,
    of: (transfer: NonNullable<RobotState['transfer']>) => number,
  ): void {
    this.#each(name, type, help, ({ transfer }) => transfer && of(transfer));
  }

  #labelled(
    name: string,
    type: Kind,
    help: string,
    label: string,
    of: (state: RobotState) => readonly (readonly [string, number])[],
  ): void {
    this.#register(name, type, help, (state) =>
      state.raw ? of(state).map(([key, value]) => ({ labels: { [label]: key }, value })) : [],
    );
  }

  #histogram(
    name: string,
    help: string,
    of: (raw: Telemetry) => readonly (readonly [Record<string, string>, HistogramSample])[],
  ): void {
    this.#register(name, 'histogram', help, ({ raw }) =>
      raw ? of(raw).flatMap(([labels, sample]) => buckets(`farsight_${name}`, labels, sample)) : [],
    );
  }

  /** A metric whose values are made when they are asked for. */
  #register(name: string, type: Kind, help: string, of: (state: RobotState) => Value[]): void {
    const metric = {
      name: `farsight_${name}`,
      get: async (): Promise<MetricObjectWithValues<Value>> => ({
        name: `farsight_${name}`,
        help,
        type: type as never,
        aggregator: 'sum',
        collect() {},
        values: [...this.#robots()].flatMap((state) =>
          of(state).map((value) => ({ ...value, labels: { robot: state.robot, ...value.labels } })),
        ),
      }),
    };
    this.#registry.registerMetric(metric as never);
  }
}

/** Answers `GET /metrics`. */
export function metricsHandler(robots: Robots): RequestListener {
  const metrics = new RobotMetrics(robots);
  return (request, response) => {
    const found = request.method === 'GET' && (request.url ?? '').split('?')[0] === '/metrics';
    response.setHeader('Content-Type', found ? metrics.contentType : 'text/plain; charset=utf-8');
    if (!found) return void response.writeHead(404).end('only GET /metrics\n');
    metrics.text().then(
      (text) => response.end(text),
      () => response.writeHead(500).end('failed\n'),
    );
  };
}

/** A histogram of ours as Prometheus counts: each bucket holds all that is at most its edge, in seconds. */
function buckets(name: string, labels: Record<string, string>, { counts }: HistogramSample): Value[] {
  const values: Value[] = [];
  let seen = 0;
  let sum = 0;
  let at = 0;
  const upTo = (edge: number) => {
    for (; at < counts.length && upperEdge(counts[at]) <= edge; at += 2) {
      seen += counts[at + 1];
      sum += (counts[at + 1] * upperEdge(counts[at])) / 1e9;
    }
  };
  for (const edge of EDGES) {
    upTo(edge);
    values.push({ metricName: `${name}_bucket`, labels: { ...labels, le: String(edge / 1e9) }, value: seen });
  }
  upTo(Number.POSITIVE_INFINITY);
  values.push({ metricName: `${name}_bucket`, labels: { ...labels, le: '+Inf' }, value: seen });
  values.push({ metricName: `${name}_sum`, labels, value: sum });
  values.push({ metricName: `${name}_count`, labels, value: seen });
  return values;
}

/** `perOctave` edges an octave from `low` to `high`. */
function edges(low: number, high: number, perOctave: number): number[] {
  const count = Math.ceil(Math.log2(high / low) * perOctave);
  return Array.from({ length: count + 1 }, (_, i) => Math.round(low * 2 ** (i / perOctave)));
}
