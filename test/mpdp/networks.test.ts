// The numbers of an agent, kept and brought back.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { bringBack, makeAgent, makeNetworks, remember } from '../../trainer/mpdp/networks.js';
import { resolveOptions } from '../../trainer/mpdp/options.js';
import { Random } from '../../trainer/random.js';

test('what later updates did to policies and critics is taken back whole', () => {
  const options = resolveOptions('smoke', ['policyHidden=[4]', 'criticHidden=[4]', 'modelHidden=[4]']);
  const agent = makeAgent(makeNetworks(3, 1, options), options, new Random(1));
  const learned = [...agent.policies, agent.critic, agent.target, agent.temperature];
  const state = () =>
    learned.map(({ flat, m, v, steps }) => ({ flat: [...flat.data], m: [...m.data], v: [...v.data], steps }));
  const early = state();
  const memory = remember(agent, 'policies');
  for (const parameters of learned) {
    for (const { data } of [parameters.flat, parameters.m, parameters.v]) data.fill(9);
    parameters.steps = 9;
  }
  assert.notDeepEqual(state(), early);
  bringBack(agent, 'policies', memory);
  assert.deepEqual(state(), early);
});
