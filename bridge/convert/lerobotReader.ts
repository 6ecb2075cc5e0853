// Reads a LeRobot dataset, layout v3.0: frames of an episode that follow each other, as steps of the task.
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { FarsightError } from '../../contract/errors.js';
import { type TaskInterface, termName } from '../../contract/terms.js';
import { readParquet } from './columns.js';
import { LONGEST_EPISODE, type Steps } from './episodes.js';
import {
  checkOwnTerms,
  checkSteps,
  type ForeignDataset,
  LEROBOT_INFO,
  ownTermsSchema,
  readJsonFile,
} from './foreignDataset.js';
import { TERMS_FILE } from './lerobotWriter.js';

const featureSchema = z.object({
  dtype: z.string(),
  shape: z.array(z.int().positive()),
  names: z.unknown().optional(),
});
const infoSchema = z.object({
  codebase_version: z.string(),
  fps: z.number().positive(),
  total_frames: z.int().nonnegative(),
  features: z.record(z.string(), featureSchema),
});
type Info = z.infer<typeof infoSchema>;

const STATE = 'observation.state';
const ACTION = 'action';
/** Of one number each, that a frame may have. */
const OPTIONAL = ['next.done', 'sensor_age'];

export function openLeRobot(directory: string): ForeignDataset {
  const path = join(directory, LEROBOT_INFO);
  const info = readJsonFile(path, infoSchema);
  if (!/^v?3\./.test(info.codebase_version))
    throw new FarsightError(
      `'${path}': has layout ${info.codebase_version}, not v3: bring it up to date with LeRobot's own convert_dataset_v21_to_v30`,
    );
  const files = dataFiles(directory);
  if (files.length === 0)
    throw new FarsightError(`'${join(directory, 'data')}' has no .parquet file: copy it again`);
  return {
    format: 'lerobot',
    unit: 'frames',
    total: info.total_frames,
    files,
    read: (task) => readSteps(directory, info, files, task),
  };
}

function dataFiles(directory: string): string[] {
  const data = join(directory, 'data');
  if (!existsSync(data)) return [];
  return readdirSync(data)
    .sort()
    .flatMap((chunk) =>
      readdirSync(join(data, chunk))
        .filter((name) => name.endsWith('.parquet'))
        .sort()
        .map((name) => join(data, chunk, name)),
    );
}

async function* readSteps(
  directory: string,
  info: Info,
  files: readonly string[],
  task: TaskInterface,
): AsyncGenerator<Steps> {
  const path = join(directory, LEROBOT_INFO);
  const own = join(directory, TERMS_FILE);
  if (existsSync(own)) checkOwnTerms(own, readJsonFile(own, ownTermsSchema), task);
  checkFeature(path, STATE, info, task.observation);
  checkFeature(path, ACTION, info, task.action);
  if (info.fps !== task.controlRate)
    throw new FarsightError(
      `'${path}': fps is ${info.fps}, task '${task.task}' is controlled at ${task.controlRate} Hz: make it anew at that rate`,
    );
  const [n, m] = [task.observation.length, task.action.length];
  let frames = 0;
  let stretch: Frame[] = [];
  const close = (): Steps | undefined => {
    const done = stretch;
    stretch = [];
    if (done.length < 2) return undefined;
    const steps: Steps = {
      steps: done.length - 1,
      observation: Float32Array.from(done.flatMap(({ observation }) => observation)),
      action: Float32Array.from(done.flatMap(({ action }) => action)),
      sensorAge: Float32Array.from(done, ({ age }) => age),
      terminal: done[done.length - 2].ends,
    };
    checkSteps(steps, task, `'${directory}', episode ${done[0].episode} from frame ${done[0].index}`);
    return steps;
  };
  for (const file of files) {
    const wanted = [STATE, ACTION, 'episode_index', 'frame_index', 'timestamp'];
    for await (const rows of readParquet(file, wanted, OPTIONAL)) {
      for (const row of rows) {
        const frame = frameOf(file, row, n, m);
        const before = stretch.at(-1);
        // What lies before the end of a task is no state of the next episode; frames may have been taken out.
        const isBreak = before && (!follows(before, frame, info.fps) || stretch.at(-2)?.ends === true);
        const done = isBreak ? close() : undefined;
        if (done) yield done;
        stretch.push(frame);
        frames++;
        if (stretch.length <= LONGEST_EPISODE) continue;
        // Its last frame is the first of what follows.
        const long = close();
        if (long) yield long;
        stretch = [frame];
      }
    }
  }
  const last = close();
  if (last) yield last;
  if (frames !== info.total_frames)
    throw new FarsightError(
      `'${path}': says that there are ${info.total_frames} frames, its files have ${frames}: copy it again`,
    );
}

interface Frame {
  episode: number;
  index: number;
  time: number;
  observation: number[];
  action: number[];
  ends: boolean;
  age: number;
}

function frameOf(file: string, row: Record<string, unknown>, n: number, m: number): Frame {
  const [episode, index, time] = ['episode_index', 'frame_index', 'timestamp'].map((name) =>
    Number(row[name]),
  );
  const vector = (name: string, width: number): number[] => {
    // A vector of one number is that number.
    const values = (Array.isArray(row[name]) ? row[name] : [row[name]]).map((value) =>
      Number(value ?? Number.NaN),
    );
    if (values.length === width) return values;
    throw new FarsightError(
      `'${file}', episode ${episode}, frame ${index}: '${name}' has ${values.length} numbers, not ${width}: copy it again`,
    );
  };
  const [done] = vector('next.done', 1);
  const [age] = vector('sensor_age', 1);
  return {
    episode,
    index,
    time,
    observation: vector(STATE, n),
    action: vector(ACTION, m),
    ends: done === 1,
    age: Number.isFinite(age) ? age : 0,
  };
}

/** Whether one control period lies between two frames. */
function follows(before: Frame, after: Frame, fps: number): boolean {
  const elapsed = (after.time - before.time) * fps;
  return (
    after.episode === before.episode && after.index === before.index + 1 && elapsed > 0.5 && elapsed < 1.5
  );
}

/** Throws when a feature has not the size, or the names, of the task's terms. */
function checkFeature(
  path: string,
  name: string,
  { features }: Info,
  terms: readonly { kind: string; joint: string }[],
): void {
  const refuse = (why: string) => new FarsightError(`'${path}': ${why}`);
  const feature = features[name];
  if (!feature) throw refuse(`has no feature '${name}'; it has ${Object.keys(features).join(', ')}`);
  const { dtype, shape, names } = feature;
  if (!/^float(32|64)$/.test(dtype) || shape.length !== 1 || shape[0] !== terms.length)
    throw refuse(
      `'${name}' is ${dtype} [${shape.join(', ')}], the task has float32 [${terms.length}]: ${terms.map(termName).join(', ')}`,
    );
  if (!Array.isArray(names)) return;
  for (const [i, term] of terms.entries()) {
    const own = termName(term);
    if (names[i] !== own)
      throw refuse(
        `'${name}' ${i} is named '${names[i]}', the task has '${own}' there: when they are the same, name it so in that file`,
      );
  }
}
