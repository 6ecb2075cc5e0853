// farsight new: a folder with a robot, a task, its test and its README, to begin one's own from.
import { existsSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { basename, join, resolve } from 'node:path';
import { makeDirectory } from '../../contract/directory.js';
import { UsageError } from '../../contract/errors.js';
import { unwritable, writeWhole } from '../../contract/wholeFile.js';
import { command, execute } from '../command.js';

/** The files that a new folder gets; NAME in them is the task's. */
const TEMPLATE = new URL('../../../launch/newRobot/', import.meta.url);

export function newCommand() {
  return command(
    'new',
    "begin a task of one's own: a folder with MJCF, task, README and test",
    'farsight new my-robot',
  )
    .argument('<folder>', 'a new folder; its name is the task’s')
    .action((folder: string, flags: { json?: boolean }) =>
      execute(
        flags.json,
        async () => begin(folder),
        ({ folder: made, files }) => {
          for (const file of files) console.log(`wrote ${join(made, file)}`);
          console.log(`\nnext: npx farsight check ./${join(made, 'task.mjs')}`);
        },
      ),
    );
}

/** Throws a `UsageError` when the folder exists with something in it, or its name is no name for a task. */
function begin(folder: string): { folder: string; files: string[] } {
  const name = basename(resolve(folder));
  if (!/^[a-z][a-z0-9_-]*$/i.test(name))
    throw new UsageError(`'${name}' is no name for a task: use letters, digits, - and _, a letter first`);
  if (existsSync(folder) && !statSync(folder).isDirectory())
    throw new UsageError(`'${folder}' is a file: choose a new folder`);
  if (existsSync(folder) && readdirSync(folder).length > 0)
    throw new UsageError(`'${folder}' is not empty: choose a new folder`);
  try {
    makeDirectory(folder);
  } catch (error) {
    throw unwritable(folder, error);
  }
  const files = readdirSync(TEMPLATE).sort();
  try {
    for (const file of files) {
      const text = readFileSync(new URL(file, TEMPLATE), 'utf8').replaceAll('NAME', name);
      writeWhole(join(folder, file), text);
    }
  } catch (error) {
    // Some of it alone would be in the way of the next try.
    for (const file of files) rmSync(join(folder, file), { force: true });
    throw error;
  }
  return { folder, files };
}
