// The code of a page: our modules, three.js, MuJoCo's JavaScript and the task's file as one script for a browser.
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { basename, join, resolve, sep } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Plugin } from 'esbuild';
import { FarsightError, messageOf } from '../../contract/errors.js';
import { licencesOf } from './licences.js';

const root = resolve(fileURLToPath(new URL('../..', import.meta.url)));
const PACKAGES = ['esbuild', 'three', '@mujoco/mujoco'];
/** Modules that a page has others for. */
const REPLACED: Record<string, string> = {
  'trainer/sim/mujoco.js': 'launch/play/page/mujoco.js',
  'controller/garbage.js': 'launch/play/page/garbage.js',
};

/** Throws a `FarsightError` that names what is not installed: none of it is needed on a robot. */
export function checkPackages(more: readonly string[] = []): void {
  const { resolve: find } = createRequire(import.meta.url);
  const { devDependencies }: { devDependencies: Record<string, string> } = JSON.parse(
    readFileSync(join(root, '..', 'package.json'), 'utf8'),
  );
  const missing = [...PACKAGES, ...more].filter((name) => {
    try {
      find(name);
      return false;
    } catch (error) {
      return (error as NodeJS.ErrnoException).code === 'MODULE_NOT_FOUND';
    }
  });
  if (missing.length > 0) {
    throw new FarsightError(
      `this command needs packages that are not installed: npm install ${missing.map((name) => `${name}@${devDependencies[name]}`).join(' ')}`,
    );
  }
}

/**
 * A module that starts `entry` (a module of this folder's `page/`) with the task that `loadTask` knows as `source`.
 * Throws a `FarsightError` when the task's file needs what no browser has.
 */
export async function bundlePage(entry: string, source: string): Promise<string> {
  const { build } = await import('esbuild');
  const builtIn = basename(source) === source;
  const task = builtIn ? join(root, 'trainer/sim/tasks', `${source}.js`) : source;
  try {
    const { outputFiles, metafile } = await build({
      stdin: {
        contents: `import { start } from ${JSON.stringify(join(root, 'launch/play/page', entry))};
import task from ${JSON.stringify(task)};
start(task);`,
        resolveDir: root,
      },
      bundle: true,
      write: false,
      minify: true,
      format: 'esm',
      platform: 'browser',
      target: ['chrome110', 'firefox115', 'safari16.4'],
      charset: 'ascii',
      legalComments: 'eof',
      metafile: true,
      logLevel: 'silent',
      // A page that is no web server's has no shared memory, and a page has no second thread to share it with.
      define: { SharedArrayBuffer: 'ArrayBuffer' },
      plugins: [forBrowser()],
    });
    const licences = licencesOf(metafile).replaceAll('*/', '* /').replaceAll('</', '< /');
    return `${outputFiles[0].text}/*!\n${licences}*/\n`;
  } catch (error) {
    throw new FarsightError(`task '${source}' cannot be put into a page: ${messageOf(error)}`);
  }
}

/** Nothing of Node but for what our own modules import and a page never calls. */
function forBrowser(): Plugin {
  return {
    name: 'for a browser',
    setup({ onResolve, onLoad }) {
      onResolve({ filter: /^(node:|module$|fs$|path$|url$|crypto$|koffi$)/ }, ({ path, importer }) => {
        const isOurs = importer.startsWith(root + sep) || importer.includes('node_modules');
        if (!isOurs) {
          const text = `it imports '${path}', which no browser has; let the field mjcf name its files instead`;
          return { errors: [{ text }] };
        }
        return { path, namespace: 'absent' };
      });
      // A user's task may import this package for its types, wherever it lies.
      onResolve({ filter: /^farsight$/ }, () => ({ path: join(root, 'trainer/sim/defineTask.js') }));
      onLoad({ filter: /.*/, namespace: 'absent' }, () => ({ contents: 'module.exports = {};' }));
      onResolve({ filter: /^\.\.?\// }, ({ path, resolveDir }) => {
        const found = Object.entries(REPLACED).find(
          ([name]) => join(root, name) === resolve(resolveDir, path),
        );
        return found && { path: join(root, found[1]) };
      });
    },
  };
}
