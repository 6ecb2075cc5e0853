// Safety limits that cannot be meant: of joints and terms that there are not, twice of one, or against each other.
import { FarsightError } from './errors.js';
import { jointsOf, type TaskInterface, termName } from './terms.js';

/** Throws a `FarsightError` that names the joint or term at fault. */
export function checkSafety({
  observation,
  action,
  safety,
}: Pick<TaskInterface, 'observation' | 'action' | 'safety'>): void {
  const joints = jointsOf({ observation, action });
  const terms = observation.map(termName);
  const positions = new Map<string, readonly [number, number]>();
  for (const { joint, position } of safety.joints) {
    if (!joints.includes(joint)) {
      throw new FarsightError(
        `safety limits for joint '${joint}', which no observation or action term names; there are: ${joints.join(', ')}`,
      );
    }
    if (positions.has(joint)) throw new FarsightError(`safety limits for joint '${joint}' stand there twice`);
    positions.set(joint, position ?? [-Infinity, Infinity]);
  }
  for (const { term, range } of safety.bounds ?? []) {
    const found = observation[terms.indexOf(term)];
    if (!found) {
      throw new FarsightError(
        `safety bounds for '${term}', which is no observation term; there are: ${terms.join(', ')}`,
      );
    }
    const [low, high] = (found.kind === 'jointPosition' && positions.get(found.joint)) || range;
    if (Math.max(low, range[0]) >= Math.min(high, range[1])) {
      throw new FarsightError(
        `safety bounds for '${term}' [${range.join(', ')}] and the position limits of its joint [${low}, ${high}] have nothing in common`,
      );
    }
  }
}
