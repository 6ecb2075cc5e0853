// Puts what a robot runs into a folder that can be moved: the built product and the packages that it needs, without
// the trainer's. CMakeLists.txt calls it; plain JavaScript, because it runs before anything is built.
// usage: node installProduct.mjs SOURCE FOLDER [--simulator]
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { cpSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { dropOtherPlatforms } from '../dropOtherPlatforms.mjs';

const [source, folder, ...flags] = process.argv.slice(2);
const simulator = flags.includes('--simulator');
const environment = {
  ...process.env,
  ONNXRUNTIME_NODE_INSTALL: process.env.ONNXRUNTIME_NODE_INSTALL ?? 'skip',
  // rclnodejs's build calls npx, which asks before it fetches.
  npm_config_yes: 'true',
};

function fail(reason) {
  process.stderr.write(`farsight: ${reason}\n`);
  process.exit(1);
}

function run(command, args, cwd) {
  const done = spawnSync(command, args, { cwd, env: environment, stdio: ['ignore', 1, 2] });
  if (done.error || done.status !== 0)
    fail(`'${[command, ...args].join(' ')}' failed in ${cwd}${done.error ? `: ${done.error.message}` : ''}`);
}

if (Number(process.versions.node.split('.')[0]) < 20)
  fail(`needs Node 20 or later, this is ${process.version}`);
if (!process.env.AMENT_PREFIX_PATH || !process.env.ROS_DISTRO)
  fail("ROS 2 is not sourced: 'source /opt/ros/<distribution>/setup.bash', then build again");

// A checkout compiles itself; what npm installed is compiled already.
if (existsSync(join(source, 'tsconfig.json'))) run('node', ['launch/setup.mjs'], source);

const manifest = JSON.parse(readFileSync(join(source, 'package.json'), 'utf8'));
const descriptions = ['package.json', 'package-lock.json'].filter((name) => existsSync(join(source, name)));
mkdirSync(folder, { recursive: true });

// What is installed depends on these, and is installed again only when they change: rclnodejs compiles against the
// ROS 2 that is sourced, and generates JavaScript for its messages.
const wanted = createHash('sha256');
// Without the workspace that this goes to: it may be sourced already, or not yet.
const underlays = process.env.AMENT_PREFIX_PATH.split(delimiter).filter(
  (prefix) => existsSync(prefix) && !existsSync(join(prefix, 'share', manifest.name)),
);
for (const name of descriptions) wanted.update(readFileSync(join(source, name)));
wanted.update(JSON.stringify([process.version, process.env.ROS_DISTRO, underlays, simulator]));
const fingerprint = wanted.digest('hex');
const stamp = join(folder, 'installed');
if (!existsSync(stamp) || readFileSync(stamp, 'utf8') !== fingerprint) {
  rmSync(folder, { recursive: true });
  mkdirSync(folder);
  for (const name of descriptions) cpSync(join(source, name), join(folder, name));
  installPackages();
  writeFileSync(stamp, fingerprint);
}

function installPackages() {
  const quiet = ['--omit=dev', '--no-audit', '--no-fund', '--loglevel=error'];
  run('npm', [descriptions.includes('package-lock.json') ? 'ci' : 'install', ...quiet], folder);
  const { devDependencies = {}, ...runtime } = manifest;
  const mujoco = '@mujoco/mujoco';
  if (simulator && devDependencies[mujoco]) {
    // npm leaves out what a package lists for its development, even when asked for it by name.
    writeFileSync(join(folder, 'package.json'), `${JSON.stringify(runtime, null, 2)}\n`);
    run('npm', ['install', '--no-save', ...quiet, `${mujoco}@${devDependencies[mujoco]}`], folder);
  }
  const rclnodejs = join(folder, 'node_modules', 'rclnodejs');
  if (!existsSync(rclnodejs)) {
    const asked = `rclnodejs@${manifest.optionalDependencies.rclnodejs}`;
    fail(
      `rclnodejs did not install (it needs g++, make and python3 where it has no prebuilt addon); 'npm install ${asked}' in an empty folder says why`,
    );
  }
  dropOtherPlatforms(join(folder, 'node_modules'));
}

rmSync(join(folder, 'build'), { recursive: true, force: true });
for (const path of manifest.files.filter((name) => name.startsWith('build/')))
  cpSync(join(source, path), join(folder, path), { recursive: true, preserveTimestamps: true });
