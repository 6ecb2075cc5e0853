// Checkpoints: all that a run needs to go on, on disk so that a kill at any moment leaves a whole one.
import {
  closeSync,
  existsSync,
  fsyncSync,
  ftruncateSync,
  openSync,
  readFileSync,
  renameSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { makeDirectory } from '../../contract/directory.js';
import { FarsightError } from '../../contract/errors.js';
import type { Parameters } from '../tensor/array.js';
import type { Mpdp, Position } from './mpdp.js';
import { type Agent, setElites } from './networks.js';

const VERSION = 1;
const MAGIC = 'farsight checkpoint\n';

const headerSchema = z.object({
  version: z.literal(VERSION),
  position: z.custom<Position>((value) => typeof value === 'object' && value !== null),
  random: z.array(z.number()).length(5),
  /** Optimiser steps, in the order of `parametersOf`. */
  steps: z.array(z.number()),
  elites: z.array(z.number()),
  observation: z.array(z.number()),
  qpos: z.array(z.number()),
  qvel: z.array(z.number()),
  /** Rows of replay.bin that belong to this checkpoint. */
  replayRows: z.number(),
  /** Lengths of the arrays that follow, in the order of `arraysOf`. */
  lengths: z.array(z.number()),
});

function parametersOf({ policies, critic, target, ensemble, temperature }: Agent): Parameters[] {
  return [...policies, critic, target, ensemble, temperature];
}

function arraysOf({ agent, startStates }: Mpdp): Float32Array[] {
  const arrays = parametersOf(agent).flatMap(({ flat, m, v }) => [flat, m, v]);
  const ring = startStates ? [startStates.states] : [];
  return [...arrays, ...Object.values(agent.scales), ...ring].map(({ data }) => data);
}

/**
 * Writes the run's state into `directory`: `replay.bin` grows by the new transitions, then `state.bin` is replaced
 * as a whole and says how much of `replay.bin` counts.
 */
export function saveCheckpoint(run: Mpdp, directory: string): void {
  makeDirectory(directory);
  appendReplay(run, join(directory, 'replay.bin'));
  const { agent, position, world, replay } = run;
  const arrays = arraysOf(run);
  const { qpos, qvel } = world.state();
  const header = JSON.stringify({
    version: VERSION,
    position,
    random: run.random.save(),
    steps: parametersOf(agent).map((parameters) => parameters.steps),
    elites: agent.elites,
    observation: [...run.observation],
    qpos: [...qpos],
    qvel: [...qvel],
    replayRows: replay.added,
    lengths: arrays.map((array) => array.length),
  } satisfies z.input<typeof headerSchema>);
  const start = Buffer.from(MAGIC.padEnd(24) + String(Buffer.byteLength(header)).padEnd(8) + header);
  const path = join(directory, 'state.bin');
  const aside = `${path}.tmp`;
  const file = openSync(aside, 'w');
  for (const part of [start, ...arrays]) writeSync(file, part as NodeJS.ArrayBufferView);
  fsyncSync(file);
  closeSync(file);
  renameSync(aside, path);
}

export function hasCheckpoint(directory: string): boolean {
  return existsSync(join(directory, 'state.bin'));
}

/** Takes a run back to its checkpoint. Throws a FarsightError when that is missing, damaged or of other networks. */
export function loadCheckpoint(run: Mpdp, directory: string): void {
  const path = join(directory, 'state.bin');
  const refuse = (why: string) => new FarsightError(`checkpoint '${path}': ${why}`);
  if (!existsSync(path)) throw refuse('no such file');
  const bytes = readFileSync(path);
  if (bytes.toString('utf8', 0, 24).trimEnd() !== MAGIC.trimEnd()) throw refuse('is not a checkpoint');
  const headerLength = Number(bytes.toString('utf8', 24, 32));
  const header = headerSchema.safeParse(parseJson(bytes.toString('utf8', 32, 32 + headerLength)));
  if (!header.success)
    throw refuse(`cannot be used: ${z.prettifyError(header.error).replace(/\s*\n\s*/g, ' ')}`);
  const { position, random, steps, elites, observation, qpos, qvel, replayRows, lengths } = header.data;
  const arrays = arraysOf(run);
  if (lengths.length !== arrays.length || arrays.some((array, i) => array.length !== lengths[i])) {
    throw refuse('belongs to networks of other sizes; resume with the options that the run began with');
  }
  let at = 32 + headerLength;
  if (bytes.length !== at + 4 * lengths.reduce((sum, length) => sum + length, 0)) throw refuse('is cut off');
  for (const array of arrays) {
    array.set(floats(bytes.subarray(at, at + array.byteLength)));
    at += array.byteLength;
  }
  const replayPath = join(directory, 'replay.bin');
  const rows = existsSync(replayPath) ? floats(readFileSync(replayPath)) : new Float32Array();
  if (rows.length < replayRows * run.replay.rowLength) throw refuse('its replay.bin is missing or cut off');
  run.replay.restore(rows.subarray(0, replayRows * run.replay.rowLength));
  saved.set(run.replay, { path: replayPath, rows: replayRows });
  run.random.restore(random);
  for (const [i, parameters] of parametersOf(run.agent).entries()) parameters.steps = steps[i];
  setElites(run.agent, elites);
  run.world.setState({ qpos: Float64Array.from(qpos), qvel: Float64Array.from(qvel) });
  run.restore(position, Float32Array.from(observation));
}

/** Appends the transitions that the file lacks; a part that a killed run wrote beyond its checkpoint is overwritten. */
function appendReplay({ replay }: Mpdp, path: string): void {
  const rowBytes = replay.rowLength * 4;
  const file = openSync(path, existsSync(path) ? 'r+' : 'w+');
  const last = saved.get(replay);
  const known = last?.path === path ? last.rows : 0;
  ftruncateSync(file, known * rowBytes);
  const fresh = Math.min(replay.added - known, replay.size);
  for (let i = 0; i < fresh; i++) {
    const index = replay.added - fresh + i;
    writeSync(file, replay.row(replay.size - fresh + i), 0, rowBytes, index * rowBytes);
  }
  fsyncSync(file);
  closeSync(file);
  saved.set(replay, { path, rows: replay.added });
}
/** The file of each replay buffer and the rows that it is known to hold. */
const saved = new WeakMap<Mpdp['replay'], { path: string; rows: number }>();

/** The whole floats at the start of `bytes`: a kill may have cut the last one off. */
function floats(bytes: Buffer): Float32Array {
  const length = bytes.byteLength - (bytes.byteLength % 4);
  return new Float32Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + length));
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
