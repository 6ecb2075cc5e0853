// The programs that some tests run beside Node, and which of them are not here. Plain JavaScript: it runs before
// anything is installed, and `.ci/run` asks it for the Debian packages that are missing.
import { spawnSync } from 'node:child_process';
import { accessSync, constants, realpathSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** Debian's packages and their programs, one of which is enough. */
const PROGRAMS = {
  mosquitto: ['mosquitto'],
  chromium: ['chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable'],
  'rt-tests': ['cyclictest'],
  'redis-server': ['redis-server'],
  fish: ['fish'],
  openssl: ['openssl'],
};

function isHere(program) {
  const folders = [...(process.env.PATH ?? '').split(delimiter), '/usr/sbin', '/usr/local/sbin'];
  return folders.some((folder) => {
    try {
      accessSync(join(folder, program), constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}

function missingPackages() {
  return Object.keys(PROGRAMS).filter((name) => !PROGRAMS[name].some(isHere));
}

/** How to have the tests that are skipped here, in one line; empty when none is. */
export function howToSkipLess() {
  const packages = missingPackages();
  return [
    packages.length > 0 && `apt install ${packages.join(' ')}`,
    !process.env.AMENT_PREFIX_PATH && "source ROS 2's setup.bash",
    !isHere('moto_server') && "pip install 'moto[server]'",
    spawnSync('unshare', ['-rm', 'true']).status !== 0 &&
      'a kernel and a container that let unshare (util-linux) make user namespaces',
  ]
    .filter(Boolean)
    .join('; ');
}

if (process.argv[1] && realpathSync(process.argv[1]) === fileURLToPath(import.meta.url))
  console.log(missingPackages().join(' '));
