// A policy of given sizes with random weights: what the loop is measured and tested with when nothing was trained.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Manifest } from '../../contract/manifest.js';
import { floatTensor, type OnnxGraph, tensorInfo } from '../../contract/onnx.js';
import { INPUT, OUTPUT, type PolicyFile, writePolicyFile } from '../../contract/policyFile.js';

/** What a synthetic policy is for; sizes follow from the terms. */
export type SyntheticTask = Pick<Manifest, 'task' | 'controlRate' | 'observation' | 'action' | 'safety'>;

/** A task of `observations` joint positions and `actions` efforts of ±1, without limits beyond the actuators'. */
export function syntheticTask(observations: number, actions: number, controlRate: number): SyntheticTask {
  const joints = Array.from({ length: Math.max(observations, actions) }, (_, i) => `joint_${i}`);
  return {
    task: 'synthetic',
    controlRate,
    observation: joints
      .slice(0, observations)
      .map((joint) => ({ kind: 'jointPosition', joint, scale: 1, offset: 0 })),
    action: joints.slice(0, actions).map((joint) => ({ kind: 'effort', joint, limits: [-1, 1] })),
    safety: { joints: [], sensorTimeout: 0.1, missed: { longest: 0.1, share: 0.3, window: 1 } },
  };
}

/**
 * Writes a policy with `hidden` layers of rectified units and a tanh scaled to each actuator's limits. `echo`: the first
 * action is the first number of the observation as it is, so that a command tells which measurement it answers.
 */
export function writeSyntheticPolicy(
  path: string,
  task: SyntheticTask,
  hidden = [256, 256],
  echo = false,
): PolicyFile {
  const sizes = [task.observation.length, ...hidden, task.action.length];
  const next = generator(1);
  const layers = sizes.slice(1).map((outputs, l) => ({
    inputs: sizes[l],
    outputs,
    weight: Float32Array.from({ length: sizes[l] * outputs }, () => (2 * next() - 1) / Math.sqrt(sizes[l])),
    bias: Float32Array.from({ length: outputs }, () => 0.2 * next() - 0.1),
  }));
  const center = Float32Array.from(task.action, ({ limits: [low, high] }) => (low + high) / 2);
  const scale = Float32Array.from(task.action, ({ limits: [low, high] }) => (high - low) / 2);

  const through = new Float32Array(task.observation.length * task.action.length);
  if (echo) [through[0], center[0], scale[0]] = [1, 0, 0];
  const graph: OnnxGraph = {
    name: 'policy',
    node: layers.flatMap((_, l) => [
      {
        input: [l === 0 ? INPUT : `hidden_${l}`, `weight_${l}`, `bias_${l}`],
        output: [`linear_${l}`],
        opType: 'Gemm',
      },
      {
        input: [`linear_${l}`],
        output: [`hidden_${l + 1}`],
        opType: l === layers.length - 1 ? 'Tanh' : 'Relu',
      },
    ]),
    initializer: [
      ...layers.flatMap(({ inputs, outputs, weight, bias }, l) => [
        floatTensor(`weight_${l}`, [inputs, outputs], weight),
        floatTensor(`bias_${l}`, [outputs], bias),
      ]),
      floatTensor('scale', [scale.length], scale),
      floatTensor('center', [center.length], center),
      ...(echo ? [floatTensor('through', [task.observation.length, task.action.length], through)] : []),
    ],
    input: [tensorInfo(INPUT, [1, task.observation.length])],
    output: [tensorInfo(OUTPUT, [1, task.action.length])],
  };
  graph.node.push(
    { input: [`hidden_${layers.length}`, 'scale'], output: ['scaled'], opType: 'Mul' },
    { input: ['scaled', 'center'], output: [echo ? 'computed' : OUTPUT], opType: 'Add' },
  );
  if (echo) {
    graph.node.push(
      { input: [INPUT, 'through'], output: ['passed'], opType: 'MatMul' },
      { input: ['computed', 'passed'], output: [OUTPUT], opType: 'Add' },
    );
  }

  const infer = (observation: number[]) => {
    let values = observation;
    for (const [l, { inputs, outputs, weight, bias }] of layers.entries()) {
      const input = values;
      values = Array.from(bias, (start, o) => {
        let sum = start;
        for (let i = 0; i < inputs; i++) sum += input[i] * weight[i * outputs + o];
        return l === layers.length - 1 ? Math.tanh(sum) : Math.max(0, sum);
      });
    }
    return values.map((value, i) => value * scale[i] + center[i] + (echo && i === 0 ? observation[0] : 0));
  };
  const zeros = task.observation.map(() => 0);
  return writePolicyFile(path, graph, {
    ...task,
    version: 1,
    provenance: {
      seed: 1,
      environmentSteps: 0,
      return: null,
      preset: 'synthetic',
      created: new Date().toISOString(),
      sourceRevision: 'none',
      datasets: [],
      parent: null,
    },
    observationStatistics: { mean: zeros, sd: zeros, low: zeros, high: zeros },
    selfCheck: Array.from({ length: 16 }, () => {
      const observation = task.observation.map(() => 2 * next() - 1);
      return { observation, action: infer(observation) };
    }),
  });
}

/** A random policy whose file nobody needs. */
export function syntheticPolicy(task: SyntheticTask): PolicyFile {
  const directory = mkdtempSync(join(tmpdir(), 'farsight-policy-'));
  try {
    return writeSyntheticPolicy(join(directory, 'policy.onnx'), task);
  } finally {
    rmSync(directory, { recursive: true });
  }
}

/** Numbers in [0, 1) from a 32-bit linear congruential generator (Numerical Recipes): enough for random weights. */
function generator(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}
