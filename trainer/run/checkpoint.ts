// Checkpoints: all that a run needs to go on to the last bit, on disk so that a kill at any moment leaves a whole one.
import { createHash, type Hash } from 'node:crypto';
import { closeSync, existsSync, openSync, readFileSync, readSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { makeDirectory } from '../../contract/directory.js';
import { FarsightError } from '../../contract/errors.js';
import { findingsOf } from '../../contract/schemaErrors.js';
import { growWhole, sizeOf, writeWhole } from '../../contract/wholeFile.js';
import type { WindowSums } from '../mpdp/metricsWindow.js';
import type { Mpdp } from '../mpdp/mpdp.js';
import { type Agent, remember, setElites } from '../mpdp/networks.js';
import type { Position } from '../mpdp/position.js';
import type { SavedWorld } from '../sim/world.js';
import type { Parameters } from '../tensor/array.js';

const VERSION = 2;
const MAGIC = 'farsight checkpoint\n';
/** Bytes before the header: the magic, then its length. */
const PREFIX = 32;
/** SHA-256 of all before it ends the file. */
const DIGEST = 32;
/** Rows of the replay buffer that are read at once. */
const ROWS_AT_ONCE = 4096;

const object = <T>() => z.custom<T>((value) => typeof value === 'object' && value !== null);
const headerSchema = z.object({
  version: z.literal(VERSION),
  position: object<Position>(),
  window: object<WindowSums>(),
  random: z.array(z.number()).min(4),
  /** Optimiser steps, in the order of `parametersOf`. */
  steps: z.array(z.number()),
  elites: z.array(z.number()),
  /** Optimiser steps of the best evaluation's networks; null before the first. */
  best: z.array(z.number()).nullable(),
  /** Which transitions replay.bin holds: up to which one it counts, and from which one on; SHA-256 of those. */
  replay: z.object({ rows: z.number(), first: z.number(), sha256: z.string() }),
  /** Lengths of the arrays that follow: of doubles, then of floats. */
  doubles: z.array(z.number()),
  floats: z.array(z.number()),
});

function parametersOf({ policies, critic, target, ensemble, temperature }: Agent): Parameters[] {
  return [...policies, critic, target, ensemble, temperature];
}

function floatsOf({ agent, startStates, observation, best }: Mpdp): Float32Array[] {
  const arrays = parametersOf(agent).flatMap(({ flat, m, v }) => [flat, m, v]);
  const ring = startStates ? [startStates.states] : [];
  const all = [...arrays, ...Object.values(agent.scales), ...ring].map(({ data }) => data);
  return [...all, observation, ...(best?.arrays ?? [])];
}

const doublesOf = ({ physics, limits, seen }: SavedWorld): Float64Array[] => [physics, limits, seen];

/**
 * Writes the run's state into `directory`: `replay.bin` grows by the new transitions, then `state.bin` is replaced
 * as a whole and says how much of `replay.bin` counts.
 */
export function saveCheckpoint(run: Mpdp, directory: string): void {
  makeDirectory(directory);
  const replay = appendReplay(run, join(directory, 'replay.bin'));
  const { agent, position } = run;
  const doubles = doublesOf(run.world.save());
  const floats = floatsOf(run);
  const header = JSON.stringify({
    version: VERSION,
    position,
    window: run.window.save(),
    random: run.random.save(),
    steps: parametersOf(agent).map((parameters) => parameters.steps),
    elites: agent.elites,
    best: run.best?.steps ?? null,
    replay,
    doubles: doubles.map((array) => array.length),
    floats: floats.map((array) => array.length),
  } satisfies z.input<typeof headerSchema>);
  const start = Buffer.from(MAGIC.padEnd(24) + String(Buffer.byteLength(header)).padEnd(8) + header);
  const parts = [start, ...[...doubles, ...floats].map(bytesOf)];
  const hash = createHash('sha256');
  for (const part of parts) hash.update(part);
  writeWhole(join(directory, 'state.bin'), ...parts, hash.digest());
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
  const headerEnd = PREFIX + Number(bytes.toString('utf8', 24, PREFIX));
  const json = parseJson(bytes.toString('utf8', PREFIX, headerEnd)) as { version?: unknown } | undefined;
  if (typeof json?.version === 'number' && json.version !== VERSION) {
    const age = json.version < VERSION ? 'an older' : 'a later';
    throw refuse(
      `is of ${age} version of Farsight (format ${json.version}, this one reads ${VERSION}): go on with that one, or start the run again`,
    );
  }
  const digest = createHash('sha256').update(bytes.subarray(0, -DIGEST)).digest();
  if (!digest.equals(bytes.subarray(-DIGEST))) {
    throw refuse(
      'is damaged (its checksum does not match): bring it back from a copy, or start the run again',
    );
  }
  const header = headerSchema.safeParse(json);
  if (!header.success) throw refuse(`cannot be used: ${findingsOf(header.error)}`);
  const { position, window, random, steps, elites, best, replay, ...lengths } = header.data;
  run.best = best === null ? undefined : { ...remember(run.agent, 'policies'), steps: best };
  const world = run.world.save();
  const doubles = doublesOf(world);
  const floats = floatsOf(run);
  const fit = (arrays: ArrayLike<number>[], found: number[]) =>
    arrays.length === found.length && arrays.every((array, i) => array.length === found[i]);
  if (!fit(floats, lengths.floats)) {
    throw refuse('belongs to networks of other sizes; resume with the options that the run began with');
  }
  if (!fit(doubles, lengths.doubles))
    throw refuse('belongs to another robot: was the task changed since the run began?');
  readReplay(run, join(directory, 'replay.bin'), replay, refuse);
  let at = headerEnd;
  for (const array of [...doubles, ...floats]) {
    bytesOf(array).set(bytes.subarray(at, at + array.byteLength));
    at += array.byteLength;
  }
  run.random.restore(random);
  for (const [i, parameters] of parametersOf(run.agent).entries()) parameters.steps = steps[i];
  setElites(run.agent, elites);
  run.world.restore(world);
  run.window.restore(window);
  run.restore(position);
}

type ReplayHeader = z.infer<typeof headerSchema>['replay'];

/** Appends the transitions that the file lacks; a part that a killed run wrote beyond its checkpoint is overwritten. */
function appendReplay({ replay }: Mpdp, path: string): ReplayHeader {
  const rowBytes = replay.rowLength * 4;
  const last = saved.get(replay);
  const oldest = replay.added - replay.size;
  const isThere = last?.path === path && sizeOf(path) >= (last.rows - last.first) * rowBytes;
  const { first, rows, hash } = isThere ? last : { first: oldest, rows: oldest, hash: createHash('sha256') };
  // Those that the buffer has no more leave their place empty.
  const gone = new Uint8Array(rowBytes);
  const fresh = Array.from({ length: replay.added - rows }, (_, i) =>
    rows + i < oldest ? gone : bytesOf(replay.row(rows + i - oldest)),
  );
  growWhole(path, fresh, (rows - first) * rowBytes);
  for (const row of fresh) hash.update(row);
  saved.set(replay, { path, first, rows: replay.added, hash });
  return { rows: replay.added, first, sha256: hash.copy().digest('hex') };
}

/** The file of each replay buffer, and the rows that it is known to hold. */
const saved = new WeakMap<Mpdp['replay'], { path: string; first: number; rows: number; hash: Hash }>();

function readReplay(
  { replay }: Mpdp,
  path: string,
  { rows, first, sha256 }: ReplayHeader,
  refuse: (why: string) => FarsightError,
): void {
  const hash = createHash('sha256');
  const piece = new Float32Array(ROWS_AT_ONCE * replay.rowLength);
  const file = existsSync(path) ? openSync(path, 'r') : undefined;
  try {
    replay.startAt(first);
    for (let row = first; row < rows; row += ROWS_AT_ONCE) {
      const wanted = piece.subarray(0, Math.min(ROWS_AT_ONCE, rows - row) * replay.rowLength);
      if (
        file === undefined ||
        readSync(file, bytesOf(wanted), 0, wanted.byteLength, null) < wanted.byteLength
      )
        throw refuse('its replay.bin is missing or cut off');
      hash.update(bytesOf(wanted));
      replay.restore(wanted);
    }
  } finally {
    if (file !== undefined) closeSync(file);
  }
  if (hash.copy().digest('hex') !== sha256) {
    throw refuse(
      'its replay.bin is damaged (its checksum does not match): bring both back from a copy, or start the run again',
    );
  }
  saved.set(replay, { path, first, rows, hash });
}

/** The same memory as bytes. */
function bytesOf({ buffer, byteOffset, byteLength }: Float32Array | Float64Array): Uint8Array {
  return new Uint8Array(buffer, byteOffset, byteLength);
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
