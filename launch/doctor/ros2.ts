// Doctor's checks of ROS 2: is it sourced, does a node start, do nodes find each other, and can rclnodejs be loaded.
import { type ChildProcessWithoutNullStreams, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { messageOf } from '../../contract/errors.js';
import { installCommand } from '../../contract/packages.js';
import { MESSAGE_PACKAGES } from '../../controller/ros/management/node.js';
import { rclnodejsProblem } from '../../controller/ros/management/rclnodejs.js';
import { type Check, ok } from './check.js';
import { installedPackage, readText } from './computer.js';

const DISTRIBUTIONS = ['humble', 'jazzy', 'kilted', 'lyrical', 'rolling'];
const RANGES = ['SUBNET', 'LOCALHOST', 'SYSTEM_DEFAULT', 'OFF'];
/** Where DDS discovers: UDP ports from 7400 on, 250 for each domain. */
const FIRST_PORT = 7400;
const PORTS_PER_DOMAIN = 250;
const LAST_DOMAIN = 232;
const TRY_MS = 30_000;
const DISCOVERY_MS = 5000;

/** May take seconds: it starts two nodes. */
export async function ros2Checks(): Promise<Check[]> {
  if (!sourced()) return [notSourced(), rclnodejs()];
  const trial = await tryNodes();
  return [distribution(), node(trial), domain(), discovery(trial), rclnodejs()];
}

function sourced(): boolean {
  return Boolean(process.env.AMENT_PREFIX_PATH && process.env.ROS_DISTRO);
}

function notSourced(): Check {
  const installed = existsSync('/opt/ros') ? readdirSync('/opt/ros') : [];
  return {
    name: 'ROS 2',
    status: 'missing',
    detail: "not sourced; everything but '--robot ros2' and 'farsight robot' works without it",
    remedy:
      installed.length > 0
        ? `'source /opt/ros/${installed[0]}/setup.bash', then start farsight from that shell`
        : `install ROS 2 (https://docs.ros.org), source its setup.bash, then ${installCommand('rclnodejs')}`,
  };
}

function distribution(): Check {
  const name = 'ROS 2';
  const { ROS_DISTRO } = process.env;
  if (DISTRIBUTIONS.includes(ROS_DISTRO!)) return ok(name, ROS_DISTRO!);
  const detail = `${ROS_DISTRO}, which rclnodejs does not support`;
  return { name, status: 'warning', detail, remedy: `use one of ${DISTRIBUTIONS.join(', ')}` };
}

/** What two nodes in processes of their own came to: a middleware that does not fit may end a process. */
interface Trial {
  /** Why none stands. */
  failure?: string;
  /** From when both stood until they had found each other; undefined when they did not. */
  milliseconds?: number;
}

async function tryNodes(): Promise<Trial> {
  const probe = fileURLToPath(new URL('./nodeProbe.js', import.meta.url));
  const topic = `farsight_doctor/from_${process.pid}`;
  const nodes = [1, 2].map(() => spawn(process.execPath, [probe, topic], { stdio: 'pipe' }));
  let complaints = '';
  for (const { stderr } of nodes) {
    stderr.on('data', (text) => {
      complaints += text;
    });
  }
  /** Rejects as soon as one process ends. */
  const ended = Promise.race(nodes.map((child) => once(child, 'close'))).then(([status, signal]) => {
    throw new Error(
      /(?:Error: |\[rcl\]: )(.*)/.exec(complaints)?.[1] ?? `its process ended with ${signal ?? status}`,
    );
  });
  ended.catch(() => {});
  const said = (word: string, child: ChildProcessWithoutNullStreams) =>
    new Promise<void>((resolve) => {
      let all = '';
      child.stdout.on('data', (text) => {
        all += text;
        if (all.includes(word)) resolve();
      });
    });
  const all = (word: string) => Promise.all(nodes.map((child) => said(word, child)));
  const late = (milliseconds: number) => sleep(milliseconds, 'late', { ref: false });
  try {
    const [up, found] = [all('up'), all('found')];
    if ((await Promise.race([up, ended, late(TRY_MS)])) === 'late') return { failure: 'no answer' };
    const began = performance.now();
    if ((await Promise.race([found, ended, late(DISCOVERY_MS)])) === 'late') return {};
    return { milliseconds: performance.now() - began };
  } catch (error) {
    return { failure: messageOf(error) };
  } finally {
    for (const child of nodes) child.stdin.end();
  }
}

function node({ failure }: Trial): Check {
  const name = 'ROS 2 node';
  const { RMW_IMPLEMENTATION, ROS_DISTRO } = process.env;
  const middleware = RMW_IMPLEMENTATION ?? 'the default middleware';
  if (failure === undefined) return ok(name, `starts, with ${middleware}`);
  const remedy = RMW_IMPLEMENTATION
    ? `'apt install ros-${ROS_DISTRO}-${RMW_IMPLEMENTATION.replaceAll('_', '-')}', or unset RMW_IMPLEMENTATION`
    : "look whether 'ros2 topic list' works in this shell; if not, mend the installation of ROS 2 first";
  return { name, status: 'warning', detail: `does not start, with ${middleware}: ${failure}`, remedy };
}

function domain(): Check {
  const name = 'ROS domain';
  const text = process.env.ROS_DOMAIN_ID || '0';
  const id = Number(text);
  const remedy =
    'export ROS_DOMAIN_ID=0, or another number below 102, the same in all shells and on all computers';
  if (!Number.isInteger(id) || id < 0 || id > LAST_DOMAIN) {
    const detail = `ROS_DOMAIN_ID is '${text}', which is no number from 0 to ${LAST_DOMAIN}`;
    return { name, status: 'warning', detail, remedy };
  }
  const firstEphemeral = Number(
    readText('/proc/sys/net/ipv4/ip_local_port_range')?.split(/\s+/)[0] ?? 32_768,
  );
  if (FIRST_PORT + PORTS_PER_DOMAIN * id < firstEphemeral) return ok(name, String(id));
  const detail = `${id}: its ports lie among those that Linux gives to any program`;
  return { name, status: 'warning', detail, remedy };
}

function discovery({ failure, milliseconds }: Trial): Check {
  const name = 'ROS discovery';
  const {
    ROS_AUTOMATIC_DISCOVERY_RANGE: range,
    ROS_STATIC_PEERS: peers,
    ROS_LOCALHOST_ONLY,
    ROS_DISTRO,
  } = process.env;
  if (range !== undefined && !RANGES.includes(range)) {
    const detail = `ROS_AUTOMATIC_DISCOVERY_RANGE is '${range}'`;
    return { name, status: 'warning', detail, remedy: `export one of ${RANGES.join(', ')}` };
  }
  if (ROS_DISTRO === 'humble' && (range ?? peers) !== undefined) {
    return {
      name,
      status: 'warning',
      detail: 'Humble does not read ROS_AUTOMATIC_DISCOVERY_RANGE and ROS_STATIC_PEERS',
      remedy: 'export ROS_LOCALHOST_ONLY=1 for this computer alone, or configure the middleware itself',
    };
  }
  if (range === 'OFF') {
    const detail = 'off: a node finds no other, not even on this computer';
    return { name, status: 'warning', detail, remedy: 'export ROS_AUTOMATIC_DISCOVERY_RANGE=LOCALHOST' };
  }
  const localhost = ROS_LOCALHOST_ONLY === '1' || range === 'LOCALHOST';
  const where = `${localhost ? 'this computer alone' : 'the subnet'}${peers ? `, and ${peers.replaceAll(';', ', ')}` : ''}`;
  if (milliseconds !== undefined)
    return ok(name, `${where}; two nodes found each other in ${milliseconds.toFixed(0)} ms`);
  if (failure !== undefined)
    return { name, status: 'missing', detail: `${where}; not tried: no node starts`, remedy: null };
  return {
    name,
    status: 'warning',
    detail: `${where}; two nodes here did not find each other`,
    remedy: localhost
      ? "'ip link set lo multicast on', or name it as a peer: export ROS_STATIC_PEERS=127.0.0.1"
      : 'allow UDP multicast in the firewall, or name the computers as peers: export ROS_STATIC_PEERS=ADDRESS;ADDRESS',
  };
}

/**
 * Loads rclnodejs in a process of its own, and only when nothing speaks against it: importing it without a sourced
 * ROS 2 deletes a build that was made from source.
 */
function rclnodejs(): Check {
  const name = 'rclnodejs';
  const found = installedPackage('rclnodejs');
  const remedy = `source ROS 2, then ${installCommand('rclnodejs')} (it needs a C++ compiler and python3 where no prebuilt addon fits)`;
  if (!found) {
    const status = sourced() ? 'warning' : 'missing';
    return { name, status, detail: "not installed; '--robot ros2' needs it", remedy };
  }
  const { directory, version } = found;
  if (!sourced()) {
    const detail = `${version}, not tried: ROS 2 is not sourced`;
    return { name, status: 'missing', detail, remedy: 'source ROS 2 first' };
  }
  const problem = rclnodejsProblem(MESSAGE_PACKAGES);
  if (problem) {
    const [what, how] = problem.split(/: (.*)/s);
    return { name, status: 'warning', detail: `${version}: ${what}`, remedy: how ?? remedy };
  }
  const run = spawnSync(process.execPath, ['-e', 'require(process.argv[1])', directory], {
    encoding: 'utf8',
    timeout: TRY_MS,
  });
  if (run.status === 0) return ok(name, `${version}, loads`);
  const why = /Error: (.*)/.exec(run.stderr)?.[1] ?? `ended with ${run.signal ?? run.status}`;
  return { name, status: 'warning', detail: `${version} does not load: ${why}`, remedy };
}
