// The lifecycle of a managed ROS 2 node as a table: states, transitions, and which of them a request means.

/** As in lifecycle_msgs/msg/State. */
export const STATES = {
  unknown: 0,
  unconfigured: 1,
  inactive: 2,
  active: 3,
  finalized: 4,
  configuring: 10,
  cleaningup: 11,
  shuttingdown: 12,
  activating: 13,
  deactivating: 14,
  errorprocessing: 15,
} as const;
export type LifecycleState = keyof typeof STATES;

/** The states that a node stays in. */
export const STAGES = ['unconfigured', 'inactive', 'active', 'finalized'] as const;
export type Stage = (typeof STAGES)[number];

export interface Transition {
  id: number;
  label: string;
  start: LifecycleState;
  goal: LifecycleState;
}

export type Outcome = 'success' | 'failure' | 'error';
const OUTCOMES: readonly Outcome[] = ['success', 'failure', 'error'];

/** As in lifecycle_msgs/msg/Transition, and in the order of rcl_lifecycle's default state machine. */
export const TRANSITIONS: readonly Transition[] = [
  ...step('configure', { id: 1, from: 'unconfigured', through: 'configuring', outcomes: 10, to: 'inactive' }),
  ...step('cleanup', { id: 2, from: 'inactive', through: 'cleaningup', outcomes: 20, to: 'unconfigured' }),
  ...step('activate', { id: 3, from: 'inactive', through: 'activating', outcomes: 30, to: 'active' }),
  ...step('deactivate', { id: 4, from: 'active', through: 'deactivating', outcomes: 40, to: 'inactive' }),
  { id: 5, label: 'shutdown', start: 'unconfigured', goal: 'shuttingdown' },
  { id: 6, label: 'shutdown', start: 'inactive', goal: 'shuttingdown' },
  { id: 7, label: 'shutdown', start: 'active', goal: 'shuttingdown' },
  ...outcomes('shuttingdown', 50, 'finalized', 'finalized', 'errorprocessing'),
  ...outcomes('errorprocessing', 60, 'unconfigured', 'finalized', 'finalized'),
];

function outcomes(
  start: LifecycleState,
  id: number,
  success: LifecycleState,
  failure: LifecycleState,
  error: LifecycleState,
): Transition[] {
  const goals = { success, failure, error };
  return OUTCOMES.map((outcome, i) => ({
    id: id + i,
    label: `transition_${outcome}`,
    start,
    goal: goals[outcome],
  }));
}

/** A request and what comes of it: a failure leads back. */
function step(
  label: string,
  way: { id: number; outcomes: number } & Record<'from' | 'through' | 'to', LifecycleState>,
): Transition[] {
  const { id, from, through, to } = way;
  return [
    { id, label, start: from, goal: through },
    ...outcomes(through, way.outcomes, to, from, 'errorprocessing'),
  ];
}

/** The transitions that may be asked for in a state; none while one is under way. */
export function transitionsFrom(state: LifecycleState): Transition[] {
  return (STAGES as readonly string[]).includes(state)
    ? TRANSITIONS.filter((transition) => transition.start === state)
    : [];
}

/**
 * The transition that a ChangeState request means in a state: by its label when it has one, else by its id; undefined
 * when it means none.
 */
export function requestedTransition(
  state: LifecycleState,
  id: number,
  label: string,
): Transition | undefined {
  return transitionsFrom(state).find((one) => (label === '' ? one.id === id : one.label === label));
}

/** What a transition's work comes to. */
export function outcomeOf(state: LifecycleState, outcome: Outcome): Transition {
  return TRANSITIONS.find((one) => one.start === state && one.label === `transition_${outcome}`)!;
}
