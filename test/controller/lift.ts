// A lift, one joint with a policy of 100 Hz, on a stepped loop of 500 Hz: its task, its ticks, and what is asked of it.
import assert from 'node:assert/strict';
import { FLAG, INTERVENTIONS, ROW, WORD } from '../../contract/loop.js';
import { interfaceSchema } from '../../contract/terms.js';
import type { SteppedLoop } from '../fixtures/steppedLoop.js';

export const RATE = 500;

export function lift(safety: object = {}) {
  return interfaceSchema.parse({
    task: 'lift',
    controlRate: 100,
    observation: [
      { kind: 'jointPosition', joint: 'lift' },
      { kind: 'jointVelocity', joint: 'lift' },
    ],
    action: [{ kind: 'position', joint: 'lift', limits: [-2, 2] }],
    safety,
  });
}

/** One tick with a measurement that moves by as little as a real one. */
export function step(stepped: SteppedLoop, position = 0.5, velocity = 0): void {
  stepped.sense([position + 1e-6 * Math.sin(stepped.now())], [velocity]);
  stepped.loop.tick();
}

/** Ticks until the policy acts. */
export function activate(stepped: SteppedLoop, position?: number): void {
  stepped.words[WORD.activate] = 1;
  for (let i = 0; i < 3; i++) step(stepped, position);
  assert.equal(stepped.mode(), 'policy');
}

/** Ticks once with the loop late by `late` ns. */
export function late(stepped: SteppedLoop, late: number, act: () => void): void {
  stepped.delay(late, 0);
  act();
  stepped.delay(0, 0);
}
export function ask(stepped: SteppedLoop, word: number, value: number): void {
  stepped.words[word] = value;
  step(stepped);
}

/** What the newest tick's row says: its flags and the interventions. */
export function flagsOf(stepped: SteppedLoop) {
  const row = stepped.row();
  const named = <Name extends string>(names: readonly Name[], bits: number) =>
    names.filter((_, i) => (bits & (1 << i)) !== 0);
  return {
    flags: named(Object.keys(FLAG), row[ROW.flags]),
    interventions: named(INTERVENTIONS, row[ROW.interventions]),
  };
}
