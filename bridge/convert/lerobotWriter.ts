// Writes episodes as a LeRobot dataset, layout v3.0: frames in data/, what they are in meta/.
import { join } from 'node:path';
import type { DatasetTask } from '../../contract/dataset.js';
import { makeDirectory } from '../../contract/directory.js';
import { termName } from '../../contract/terms.js';
import { writeWhole } from '../../contract/wholeFile.js';
import { parquetFile, type VectorColumn } from './columns.js';
import type { Episode } from './episodes.js';
import { aggregate, type ColumnStatistics, STATISTICS, statisticsOf } from './lerobotStatistics.js';

export const LEROBOT_VERSION = 'v3.0';
/** Beside LeRobot's own files: the task's terms with their scales, which LeRobot has no place for. */
export const TERMS_FILE = 'meta/farsight.json';
const DATA = 'data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet';
const FILES_PER_CHUNK = 1000;
/** In a file; LeRobot begins another after 100 MB. */
const FRAMES_PER_FILE = 100_000;
const EPISODES_PER_FILE = 5000;

interface Feature {
  dtype: 'float32' | 'int64' | 'bool';
  shape: [number];
  names: string[] | null;
}
const PARQUET = { float32: 'FLOAT', int64: 'INT64', bool: 'BOOLEAN' } as const;
/** By feature. */
type FrameStatistics = Record<string, ColumnStatistics>;
/** `[count, width]` in row order. */
type Values = ArrayLike<number>;

export class LeRobotWriter {
  readonly #directory: string;
  readonly #task: DatasetTask;
  readonly #features: Record<string, Feature>;
  #pending: Map<string, unknown[]>;
  #episodes: { about: Record<string, unknown>; statistics: FrameStatistics }[] = [];
  /** Of the episodes in files that are written. */
  #written: { episodes: number; files: number; statistics: FrameStatistics[] } = {
    ...{ episodes: 0, files: 0, statistics: [] },
  };
  #frames = 0;
  #file = 0;

  constructor(directory: string, task: DatasetTask, rewarded: boolean) {
    this.#directory = directory;
    this.#task = task;
    const scalar = (dtype: Feature['dtype']): Feature => ({ dtype, shape: [1], names: null });
    const vector = (terms: readonly { kind: string; joint: string }[]): Feature => ({
      dtype: 'float32',
      shape: [terms.length],
      names: terms.map(termName),
    });
    this.#features = {
      'observation.state': vector(task.observation),
      action: vector(task.action),
      ...(rewarded && { 'next.reward': scalar('float32') }),
      'next.done': scalar('bool'),
      sensor_age: scalar('float32'),
      timestamp: scalar('float32'),
      frame_index: scalar('int64'),
      episode_index: scalar('int64'),
      index: scalar('int64'),
      task_index: scalar('int64'),
    };
    this.#pending = this.#noFrames();
  }

  add({ robot, boot, tick, steps, observation, action, sensorAge, reward, terminal }: Episode): void {
    const count = steps + 1;
    if (this.#pending.get('index')!.length + count > FRAMES_PER_FILE) this.#flush();
    const index = this.#written.episodes + this.#episodes.length;
    const each = (value: (frame: number) => number) => Array.from({ length: count }, (_, i) => value(i));
    const values: Record<string, Values> = {
      'observation.state': observation,
      action,
      // The last frame has no next one.
      'next.reward': each((i) => (i < steps ? (reward?.[i] ?? Number.NaN) : 0)),
      'next.done': each((i) => Number(terminal && i >= steps - 1)),
      sensor_age: sensorAge,
      timestamp: each((i) => i / this.#task.controlRate),
      frame_index: each((i) => i),
      episode_index: each(() => index),
      index: each((i) => this.#frames + i),
      task_index: each(() => 0),
    };
    const statistics: FrameStatistics = {};
    for (const [name, feature] of Object.entries(this.#features)) {
      const rows = this.#pending.get(name)!;
      for (let i = 0; i < count; i++) rows.push(rowOf(feature, values[name], i));
      statistics[name] = statisticsOf(values[name], feature.shape[0]);
    }
    const about = {
      episode_index: index,
      tasks: [this.#task.task],
      length: count,
      'data/chunk_index': Math.floor(this.#file / FILES_PER_CHUNK),
      'data/file_index': this.#file % FILES_PER_CHUNK,
      dataset_from_index: this.#frames,
      dataset_to_index: this.#frames + count,
      robot,
      boot,
      tick,
      'meta/episodes/chunk_index': Math.floor(this.#written.files / FILES_PER_CHUNK),
      'meta/episodes/file_index': this.#written.files % FILES_PER_CHUNK,
    };
    this.#episodes.push({ about, statistics });
    this.#frames += count;
    if (this.#episodes.length === EPISODES_PER_FILE) this.#flushEpisodes();
  }

  /** Writes what is left, and what the frames are. */
  finish(rewardsOf: string | null): void {
    this.#flush();
    this.#flushEpisodes();
    const { episodes, statistics } = this.#written;
    const info = {
      codebase_version: LEROBOT_VERSION,
      robot_type: null,
      total_episodes: episodes,
      total_frames: this.#frames,
      total_tasks: 1,
      chunks_size: FILES_PER_CHUNK,
      data_files_size_in_mb: 100,
      video_files_size_in_mb: 200,
      fps: this.#task.controlRate,
      splits: { train: `0:${episodes}` },
      data_path: DATA,
      video_path: null,
      features: this.#features,
    };
    this.#write('meta/info.json', json(info));
    this.#write(TERMS_FILE, json({ interface: this.#task, rewards: rewardsOf }));
    this.#write('meta/stats.json', json(aggregate(statistics)));
    this.#write('meta/tasks.parquet', tasksFile(this.#task.task));
  }

  #flush(): void {
    const frames = this.#pending;
    if (frames.get('index')!.length === 0) return;
    const columns = Object.entries(this.#features).map(([name, { dtype, shape }]): VectorColumn => {
      const type = PARQUET[dtype];
      // As LeRobot has vectors of one number.
      const list = shape[0] > 1 && { shape: 'list' as const };
      return { name, type, ...list, data: frames.get(name)! };
    });
    this.#write(`data/${pathOf(this.#file)}`, parquetFile(columns));
    this.#pending = this.#noFrames();
    this.#file++;
  }

  #noFrames(): Map<string, unknown[]> {
    return new Map(Object.keys(this.#features).map((name) => [name, []]));
  }

  #flushEpisodes(): void {
    const episodes = this.#episodes;
    if (episodes.length === 0) return;
    const columns = Object.entries(episodes[0].about).map(([name, first]): VectorColumn => {
      const data = episodes.map(({ about }) => about[name]);
      if (Array.isArray(first)) return { name, type: 'STRING', shape: 'list', data };
      if (typeof first === 'string') return { name, type: 'STRING', data };
      return { name, type: 'INT64', data: data.map((value) => BigInt(value as number)) };
    });
    for (const feature of Object.keys(this.#features))
      for (const statistic of STATISTICS) {
        const name = `stats/${feature}/${statistic}`;
        const values = episodes.map(({ statistics }) => statistics[feature][statistic]);
        if (statistic !== 'count') columns.push({ name, type: 'DOUBLE', shape: 'list', data: values });
        else
          columns.push({ name, type: 'INT64', shape: 'list', data: values.map((each) => each.map(BigInt)) });
      }
    this.#write(`meta/episodes/${pathOf(this.#written.files)}`, parquetFile(columns));
    this.#written.episodes += episodes.length;
    this.#written.files++;
    this.#written.statistics.push(aggregate(episodes.map(({ statistics }) => statistics)));
    this.#episodes = [];
  }

  #write(name: string, content: string | Uint8Array): void {
    const path = join(this.#directory, name);
    makeDirectory(join(path, '..'));
    writeWhole(path, content);
  }
}

function rowOf({ dtype, shape: [width] }: Feature, values: Values, i: number): unknown {
  if (width > 1) return Array.from({ length: width }, (_, k) => values[i * width + k]);
  if (dtype === 'int64') return BigInt(values[i]);
  return dtype === 'bool' ? values[i] === 1 : values[i];
}

const three = (n: number) => String(n).padStart(3, '0');
const pathOf = (file: number) =>
  `chunk-${three(Math.floor(file / FILES_PER_CHUNK))}/file-${three(file % FILES_PER_CHUNK)}.parquet`;
const json = (value: unknown) => `${JSON.stringify(value, null, 4)}\n`;

/** A pandas frame whose index is the tasks' texts. */
function tasksFile(task: string): Uint8Array {
  const index = '__index_level_0__';
  const unicode = { pandas_type: 'unicode', numpy_type: 'object' };
  const pandas = {
    index_columns: [index],
    column_indexes: [{ name: null, field_name: null, ...unicode, metadata: { encoding: 'UTF-8' } }],
    columns: [
      {
        name: 'task_index',
        field_name: 'task_index',
        pandas_type: 'int64',
        numpy_type: 'int64',
        metadata: null,
      },
      { name: null, field_name: index, ...unicode, metadata: null },
    ],
    pandas_version: '2.0.0',
  };
  return parquetFile(
    [
      { name: 'task_index', type: 'INT64', data: [0n] },
      { name: index, type: 'STRING', data: [task] },
    ],
    { pandas: JSON.stringify(pandas) },
  );
}
