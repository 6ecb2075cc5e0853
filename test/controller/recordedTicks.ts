// A trace like the loop's for the recorder's tests: a small task, its policy and ticks pushed into a ring.
import { FAULTS, type Fault, FLAG, MODES, ROW, rowLayout } from '../../contract/loop.js';
import type { PolicyFile } from '../../contract/policyFile.js';
import { TraceRing } from '../../contract/sharedMemory.js';
import { interfaceSchema } from '../../contract/terms.js';

export const RATE = 500;

export const task = interfaceSchema.parse({
  task: 'pendulum',
  controlRate: RATE,
  observation: [{ kind: 'jointPosition', joint: 'hinge' }],
  action: [{ kind: 'effort', joint: 'hinge', limits: [-3, 3] }],
  safety: {},
});

export const policy: PolicyFile = {
  manifest: {
    ...task,
    version: 1,
    provenance: {
      seed: 1,
      environmentSteps: 0,
      return: null,
      preset: 'smoke',
      created: '2026-01-01T00:00:00Z',
      sourceRevision: 'test',
      datasets: [],
      parent: null,
    },
    observationStatistics: { mean: [0], sd: [1], low: [-1], high: [1] },
    selfCheck: [{ observation: [0], action: [0] }],
  },
  bytes: new Uint8Array(),
  sha256: 'a'.repeat(64),
};

/** A ring and a function that pushes the next `count` ticks, each one a policy step, and one that sets their fault. */
export function tickSource(capacity: number) {
  const layout = rowLayout(1, 1);
  const ring = new TraceRing(layout.length, capacity);
  let tick = 0;
  let fault = 0;
  const push = (count: number) => {
    for (let i = 0; i < count; i++, tick++) {
      const { rows, offset } = ring;
      rows[offset + ROW.tick] = tick;
      rows[offset + ROW.scheduled] = 1e3 + tick / RATE;
      rows[offset + ROW.sensorStamp] = 1e3 + tick / RATE;
      rows[offset + ROW.mode] = MODES.indexOf(fault === 0 ? 'policy' : 'fault');
      rows[offset + ROW.fault] = fault;
      rows[offset + ROW.flags] = fault === 0 ? FLAG.policyStep : FLAG.fault;
      rows[offset + layout.observation] = tick;
      rows[offset + layout.action] = 0.5;
      rows[offset + layout.command] = 0.25;
      ring.push();
    }
    return tick;
  };
  const setFault = (now: Fault) => {
    fault = FAULTS.indexOf(now);
  };
  return { trace: { buffer: ring.buffer, rowLength: layout.length, capacity }, push, fault: setFault };
}
