// Sets a checkout up: installs the packages that package-lock.json names and builds the TypeScript, each only
// when something changed. `npm run demo`, `npm test` and `npm run build` start with it. Plain JavaScript, because
// it runs before anything is installed.
import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { dropOtherPlatforms } from './dropOtherPlatforms.mjs';
import { howToSkipLess } from './testPrograms.mjs';

const root = dirname(dirname(fileURLToPath(import.meta.url)));

function run(title, command, args, env = {}) {
  process.stderr.write(`setup: ${title}\n`);
  const done = spawnSync(command, args, {
    cwd: root,
    env: { ...process.env, ...env },
    stdio: ['ignore', 2, 2],
  });
  if (done.error || done.status !== 0) {
    process.stderr.write(
      `setup: '${[command, ...args].join(' ')}' failed${done.error ? `: ${done.error.message}` : ''}\n`,
    );
    process.exit(1);
  }
}

const [major, minor] = process.versions.node.split('.').map(Number);
if (major < 20 || (major === 20 && minor < 19)) {
  process.stderr.write(`setup: Farsight needs Node 20.19 or later, this is ${process.version}\n`);
  process.exit(1);
}

const lock = readFileSync(join(root, 'package-lock.json'), 'utf8');
const stamp = join(root, 'node_modules', '.farsight-lock.json');
const installed = existsSync(stamp) ? readFileSync(stamp, 'utf8') : '';
// The ROS 2 client is built against the ROS 2 that is sourced: what was installed without one lacks it.
const ros = process.env.AMENT_PREFIX_PATH ? `for ROS 2 ${process.env.ROS_DISTRO}\n` : '';
if (!installed.startsWith(lock) || (ros && installed !== lock + ros)) {
  run('installing packages (npm ci)', 'npm', ['ci', '--no-audit', '--no-fund', '--loglevel=error'], {
    // ONNX Runtime's install script would download the CUDA libraries; the CPU library is inside the package.
    ONNXRUNTIME_NODE_INSTALL: process.env.ONNXRUNTIME_NODE_INSTALL ?? 'skip',
    // The ROS 2 client's build asks npx for a package, and npx would ask back.
    npm_config_yes: 'true',
  });
  dropOtherPlatforms(join(root, 'node_modules'));
  writeFileSync(stamp, lock + ros);
}

// A checkout may lie in a colcon workspace, and some packages look like ROS packages.
writeFileSync(join(root, 'node_modules', 'COLCON_IGNORE'), '');

// What is packed holds nothing of sources that are gone.
if (process.env.npm_lifecycle_event === 'prepack')
  rmSync(join(root, 'build'), { recursive: true, force: true });
const compiler = join(root, 'node_modules', 'typescript', 'bin', 'tsc');
run('building', process.execPath, [compiler]);
// A test whose source has gone or has moved would still be found.
for (const path of readdirSync(join(root, 'build', 'test'), { recursive: true })) {
  if (path.endsWith('.test.js') && !existsSync(join(root, 'test', path.replace(/js$/, 'ts'))))
    rmSync(join(root, 'build', 'test', path));
}
// What runs in a browser knows its types and not Node's.
run('building the pages', process.execPath, [compiler, '-p', join('launch', 'play', 'page')]);
run('building the dashboard', process.execPath, [compiler, '-p', join('launch', 'dashboard', 'page')]);
run('bundling the dashboard', process.execPath, [join('launch', 'dashboard', 'bundle.mjs')]);

// `npx farsight` looks for this link.
const bin = join(root, 'node_modules', '.bin', 'farsight');
const entry = join(root, 'build', 'launch', 'farsight.js');
chmodSync(entry, 0o755);
mkdirSync(dirname(bin), { recursive: true });
rmSync(bin, { force: true });
symlinkSync(join('..', '..', 'build', 'launch', 'farsight.js'), bin);

const more = process.env.npm_lifecycle_event === 'test' && howToSkipLess();
if (more) process.stderr.write(`setup: some tests are skipped, by name; to have them: ${more}\n`);
