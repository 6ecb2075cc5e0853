// What robots recorded, in files or in a dataset: its rows in their order, and the transitions that they make.
import { readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { FarsightError } from './errors.js';
import { interfaceOf, type OnFile, type Recording, type RecordingFile, readRecording } from './recording.js';
import { interfaceDifference, interfaceSchema, type TaskInterface } from './terms.js';
import { collectTransitions, type RowSink, type Skipped, type Transitions } from './transitions.js';

export interface ReadRecordings {
  transitions: Transitions;
  skipped: Skipped;
  files: RecordingFile[];
}

/**
 * Reads one recording file, all `.mcap` files of a directory in the order of their names, or a dataset of
 * `farsight collect`, and joins consecutive steps of the policy to transitions (see `TransitionJoiner`). Segments of one
 * recording join, other files do not.
 * Throws a `FarsightError` that names the file when it is not a recording of Farsight's, is of a later version, or of
 * another task than `expected` (task, control rate, observation and action terms must be the same). When `stop` aborts,
 * its reason is thrown before the next file.
 */
export async function readTransitions(
  pathOrDirectory: string,
  expected: TaskInterface,
  stop?: AbortSignal,
): Promise<ReadRecordings> {
  const { joiner, take } = collectTransitions(expected);
  const files = await feedRows(pathOrDirectory, expected, joiner, async () => {
    // Signals are heard only when the event loop turns.
    await setImmediate();
    stop?.throwIfAborted();
  });
  return { transitions: take(), skipped: joiner.skipped, files };
}

/**
 * Gives `sink` every row of what `readTransitions` reads, and returns the files. Throws as that does.
 */
export async function feedRows(
  pathOrDirectory: string,
  expected: TaskInterface,
  sink: RowSink,
  onFile: OnFile = () => {},
): Promise<RecordingFile[]> {
  const { datasetAt, feedDataset } = await import('./dataset.js');
  const dataset = datasetAt(pathOrDirectory, expected);
  if (dataset !== undefined) return feedDataset(dataset, expected, sink, onFile);
  const files: RecordingFile[] = [];
  let previous: Recording | undefined;
  const paths = recordingPaths(pathOrDirectory);
  for (const path of paths) {
    await onFile(files.length, paths.length);
    const { recording, file } = readRecording(path, (own, refuse) => {
      const difference = interfaceDifference(own.interface, expected);
      if (difference) throw refuse(`was made for another task: ${difference}`);
      const continues = previous?.recording === own.recording && previous.segment + 1 === own.segment;
      if (!continues) sink.restart({ robot: own.robot, boot: own.recording });
      return (row) => sink.push(row);
    });
    previous = recording;
    files.push(file);
  }
  return files;
}

/** The interface that a recording, or the first one of a directory, or a dataset was made for. Throws as `feedRows` does. */
export async function recordedInterface(pathOrDirectory: string): Promise<TaskInterface> {
  const { isDataset, readDatasetFile } = await import('./dataset.js');
  return isDataset(pathOrDirectory)
    ? interfaceSchema.parse({ ...readDatasetFile(pathOrDirectory), safety: {} })
    : interfaceOf(recordingPaths(pathOrDirectory)[0]);
}

function recordingPaths(pathOrDirectory: string): string[] {
  const isDirectory = statSync(pathOrDirectory, { throwIfNoEntry: false })?.isDirectory();
  if (isDirectory === undefined) throw new FarsightError(`recording '${pathOrDirectory}': no such file`);
  if (!isDirectory) return [pathOrDirectory];
  const names = readdirSync(pathOrDirectory).filter((name) => name.endsWith('.mcap'));
  if (names.length === 0) {
    throw new FarsightError(
      `recording '${pathOrDirectory}': the directory has no .mcap file and no dataset of the task: record one with 'farsight control --record', or wait until 'farsight collect' has a whole one`,
    );
  }
  return names.sort().map((name) => join(pathOrDirectory, name));
}
