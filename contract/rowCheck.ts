// Whether a recorded row can be what a loop of its task left behind: every number in the range that its meaning gives it.
import { FAULTS, FLAG, INTERVENTIONS, MODES, ROW, rowLayout } from './loop.js';
import type { TaskInterface } from './terms.js';

const KNOWN_FLAGS = Object.values(FLAG).reduce((all, bit) => all | bit, 0);
const KNOWN_INTERVENTIONS = (1 << INTERVENTIONS.length) - 1;
const POLICY = MODES.indexOf('policy');
const DURATIONS = ['wake', 'observe', 'infer', 'limit', 'write', 'total'] as const;
/** Rounding of a command between the double that was limited and a limit that was computed anew. */
const SLACK = 1e-9;

/** Says of each row, given in their order, what is wrong with it; undefined when nothing is. */
export function rowChecker(task: Pick<TaskInterface, 'observation' | 'action'>) {
  const layout = rowLayout(task.observation.length, task.action.length);
  let before = -1;
  return (row: Float64Array): string | undefined => {
    const tick = row[ROW.tick];
    if (!Number.isSafeInteger(tick) || tick < 0) return `tick ${tick} is no count`;
    if (tick <= before) return `tick ${tick} comes after tick ${before}`;
    before = tick;
    const wrong = scalarProblem(row) ?? commandProblem(row, task, layout);
    return wrong && `tick ${tick}: ${wrong}`;
  };
}

function scalarProblem(row: Float64Array): string | undefined {
  if (!Number.isFinite(row[ROW.scheduled])) return 'scheduled is not finite';
  if (!Number.isFinite(row[ROW.sensorStamp])) return 'sensor_stamp is not finite';
  for (const name of DURATIONS) {
    if (!(row[ROW[name]] >= 0 && Number.isFinite(row[ROW[name]]))) return `${name} is ${row[ROW[name]]} ns`;
  }
  if (MODES[row[ROW.mode]] === undefined) return `mode ${row[ROW.mode]} is unknown`;
  if (FAULTS[row[ROW.fault]] === undefined) return `fault ${row[ROW.fault]} is unknown`;
  if (!isBits(row[ROW.flags], KNOWN_FLAGS)) return `flags ${row[ROW.flags]} are unknown`;
  if (!isBits(row[ROW.interventions], KNOWN_INTERVENTIONS))
    return `interventions ${row[ROW.interventions]} are unknown`;
  if (!(Number.isSafeInteger(row[ROW.missed]) && row[ROW.missed] >= 0)) return `missed is ${row[ROW.missed]}`;
  return undefined;
}

/** While the policy acts, what leaves is finite and inside the actuators' limits. */
function commandProblem(
  row: Float64Array,
  { action }: Pick<TaskInterface, 'action'>,
  layout: ReturnType<typeof rowLayout>,
): string | undefined {
  if (row[ROW.mode] !== POLICY || (row[ROW.flags] & FLAG.fault) !== 0) return undefined;
  for (let i = 0; i < action.length; i++) {
    const { limits, joint } = action[i];
    const command = row[layout.command + i];
    const slack = SLACK * (limits[1] - limits[0]);
    if (!(command >= limits[0] - slack && command <= limits[1] + slack))
      return `command ${command} of '${joint}' is outside ${limits.join(' to ')}`;
  }
  return undefined;
}

function isBits(value: number, known: number): boolean {
  return Number.isSafeInteger(value) && value >= 0 && (value & ~known) === 0;
}
