// What /diagnostics says of the controller: one status each for the loop, sensors, commands, policy, safety and stop.

import { secondPublisher } from '../link/robotMap.js';
import type { Conflict, LoopState, ManagementState, SensorState } from './messages.js';
import type { ManagementParameters } from './parameters.js';

/** As in diagnostic_msgs/msg/DiagnosticStatus. */
export const LEVEL = { ok: 0, warn: 1, error: 2, stale: 3 } as const;
type Level = (typeof LEVEL)[keyof typeof LEVEL];

const NAMES = ['loop', 'sensors', 'commands', 'policy', 'safety', 'stop'] as const;

export interface Status {
  name: (typeof NAMES)[number];
  level: Level;
  message: string;
  values: Record<string, string>;
}

type Finding = readonly [Level, string];

/** Seconds without the control process's state after which nothing is known of it. */
const STALE_SECONDS = 1;

/**
 * The statuses of a state that is `age` seconds old. `refusedBefore` are each topic's refused messages a second ago.
 */
export function statusesOf(
  state: ManagementState | undefined,
  age: number,
  parameters: ManagementParameters,
  refusedBefore: ReadonlyMap<string, number>,
): Status[] {
  if (!state || age > STALE_SECONDS) {
    const message = state
      ? `nothing heard of the control process for ${age.toFixed(1)} s`
      : 'nothing heard of the control process yet';
    return NAMES.map((name) => ({
      name,
      level: LEVEL.stale,
      message,
      values: {},
    }));
  }
  return [
    loopStatus(state.loop, parameters),
    sensorStatus(state, parameters, refusedBefore),
    commandStatus(state),
    policyStatus(state),
    safetyStatus(state),
    stopStatus(state),
  ];
}

/** A QoS that does not fit, in words. */
export function conflictText({ topic, ours, peers, policy }: Conflict): string {
  const [peer, done] = ours === 'publisher' ? ['subscriber', 'served'] : ['publisher', 'heard'];
  return `${peers} ${peer}${peers === 1 ? '' : 's'} of ${topic} not ${done}: ${policy} does not fit (see: ros2 topic info -v ${topic})`;
}

function conflictFindings({ conflicts }: ManagementState, ours: Conflict['ours']): Finding[] {
  return conflicts.filter((one) => one.ours === ours).map((one) => [LEVEL.warn, conflictText(one)]);
}

export function refusedOf(sensor: SensorState): number {
  return Object.values(sensor.refused).reduce((sum, count) => sum + count, 0);
}

/** The worst finding; of equals, the first. */
function worst(findings: readonly Finding[], fine: string): { level: Level; message: string } {
  const level = Math.max(LEVEL.ok, ...findings.map(([one]) => one)) as Level;
  const texts = findings.filter(([one]) => one === level).map(([, text]) => text);
  return { level, message: texts.length > 0 && level !== LEVEL.ok ? texts.join('; ') : fine };
}

/** The level that a value has by its two thresholds. */
function graded(value: number, warn: number, error: number): Level {
  if (value >= error) return LEVEL.error;
  return value >= warn ? LEVEL.warn : LEVEL.ok;
}

function loopStatus(loop: LoopState | null, parameters: ManagementParameters): Status {
  if (!loop) return { name: 'loop', level: LEVEL.ok, message: 'not running', values: {} };
  const { window } = loop;
  const findings: Finding[] = [
    [
      graded(window.missed, parameters['diagnostics.missed_warn'], parameters['diagnostics.missed_error']),
      `${window.missed} ticks missed in the last second`,
    ],
    [
      graded(
        window.phases.wake.p99,
        parameters['diagnostics.wake_p99_warn'],
        parameters['diagnostics.wake_p99_error'],
      ),
      `wake-up p99 ${micros(window.phases.wake.p99)} over the last second`,
    ],
    [loop.scheduling === 'fifo' ? LEVEL.ok : LEVEL.warn, 'no real-time priority (see farsight doctor)'],
  ];
  const values: Record<string, string> = {
    'rate (Hz)': String(loop.rateHz),
    ticks: String(loop.ticks),
    missed: String(loop.missed),
    'longest run of misses': String(loop.longestMiss),
    scheduling: loop.scheduling === 'fifo' ? 'SCHED_FIFO' : 'ordinary',
    'garbage collections': String(loop.gc),
  };
  for (const phase of ['wake', 'infer', 'total'] as const) {
    const { p50, p99, max } = window.phases[phase];
    values[`${phase} p50, p99, max (µs)`] = [p50, p99, max].map((value) => value.toFixed(1)).join(', ');
    values[`${phase} p99.9 since start (µs)`] = loop.phases[phase].p999.toFixed(1);
  }
  return { name: 'loop', ...worst(findings, `${loop.rateHz} Hz, no tick missed`), values };
}

function sensorStatus(
  state: ManagementState,
  parameters: ManagementParameters,
  refusedBefore: ReadonlyMap<string, number>,
): Status {
  const { stage, sensors } = state;
  const findings = conflictFindings(state, 'subscription');
  const values: Record<string, string> = {};
  for (const sensor of sensors) {
    const { topic, age, behind, received, others, contested } = sensor;
    const refused = refusedOf(sensor);
    const newlyRefused = refused - (refusedBefore.get(topic) ?? refused);
    if (newlyRefused > 0)
      findings.push([LEVEL.warn, `${newlyRefused} messages of ${topic} refused in the last second`]);
    if (contested.now) findings.push([LEVEL.error, secondPublisher(topic, contested.joint)]);
    const what = received > 0 && behind !== null ? `joint '${behind}' of ${topic}` : topic;
    if (age === null)
      findings.push([stage === 'active' ? LEVEL.error : LEVEL.warn, `no message yet of ${what}`]);
    else
      findings.push([
        graded(age, parameters['diagnostics.sensor_age_warn'], parameters['diagnostics.sensor_age_error']),
        `${what} is ${milliseconds(age)} old`,
      ]);
    values[`${topic} age`] = age === null ? 'none yet' : milliseconds(age);
    values[`${topic} received`] = String(received);
    if (others > 0) values[`${topic} received of other joints`] = String(others);
    if (contested.messages > 0) values[`${topic} signs of a second publisher`] = String(contested.messages);
    for (const [reason, count] of Object.entries(sensor.refused)) {
      if (count > 0) values[`${topic} refused: ${reason}`] = String(count);
    }
  }
  return { name: 'sensors', ...worst(findings, sensors.length > 0 ? 'fresh' : 'none yet'), values };
}

function commandStatus(state: ManagementState): Status {
  const { stage, commands, stop } = state;
  const findings = conflictFindings(state, 'publisher');
  if (stop.commandPublishers > 1) {
    findings.push([LEVEL.error, 'another node publishes commands (see: ros2 topic info -v)']);
  }
  const values: Record<string, string> = {};
  for (const { topic, sent, failed, failing, listeners } of commands) {
    if (failing) findings.push([LEVEL.error, `the middleware does not take the commands of ${topic}`]);
    if (listeners === 0)
      findings.push([stage === 'active' ? LEVEL.error : LEVEL.warn, `nobody listens to ${topic}`]);
    values[`${topic} sent`] = String(sent);
    values[`${topic} not sent`] = String(failed);
    values[`${topic} listeners`] = listeners === null ? 'not yet known' : String(listeners);
  }
  return { name: 'commands', ...worst(findings, commands.length > 0 ? 'heard' : 'none yet'), values };
}

function policyStatus({ stage, policy }: ManagementState): Status {
  if (!policy) return { name: 'policy', level: LEVEL.ok, message: 'none loaded', values: { stage } };
  const { path, sha256, task } = policy;
  return {
    name: 'policy',
    level: LEVEL.ok,
    message: `${task}, ${stage}`,
    values: { stage, task, path: path || 'delivered', sha256 },
  };
}

function safetyStatus({ loop }: ManagementState): Status {
  if (!loop) return { name: 'safety', level: LEVEL.ok, message: 'no loop', values: {} };
  const { mode, fault, score, window, interventions, interventionsByJoint } = loop;
  const findings: Finding[] = [
    [
      fault === 'none' ? LEVEL.ok : LEVEL.error,
      `${mode}: ${fault}; look at the robot, then call ~/rearm and activate anew`,
    ],
    [
      window.interventions > 0 ? LEVEL.warn : LEVEL.ok,
      `${window.interventions} commands changed in the last second`,
    ],
  ];
  const counts = Object.entries(interventions).map(([name, count]) => [name, String(count)]);
  for (const [joint, byKind] of Object.entries(interventionsByJoint)) {
    for (const [name, count] of Object.entries(byKind)) counts.push([`${name} of ${joint}`, String(count)]);
  }
  return {
    name: 'safety',
    ...worst(findings, mode),
    values: { mode, fault, 'out-of-distribution score': score.toFixed(2), ...Object.fromEntries(counts) },
  };
}

function stopStatus({ stage, stop }: ManagementState): Status {
  const { set, held, heard, publishers, age } = stop;
  const findings: Finding[] = [
    [
      set ? LEVEL.error : LEVEL.ok,
      held > 0 ? `pressed by ${held}` : 'set; release it, look at the robot, then call ~/rearm',
    ],
    [
      heard ? LEVEL.ok : stage === 'active' ? LEVEL.error : LEVEL.warn,
      publishers === 0 ? 'nobody publishes its topic' : 'its topic is silent',
    ],
  ];
  const values: Record<string, string> = { set: set ? 'yes' : 'no', 'pressed by': String(held) };
  if (publishers !== null) {
    values['publishers of its topic'] = String(publishers);
    values['last heard'] = age === null ? 'never' : `${age.toFixed(2)} s ago`;
  }
  const fine = publishers === null ? 'not set; no topic is configured' : 'not set';
  return { name: 'stop', ...worst(findings, fine), values };
}

const micros = (value: number) => `${value.toFixed(0)} µs`;
const milliseconds = (seconds: number) => `${(seconds * 1000).toFixed(1)} ms`;
