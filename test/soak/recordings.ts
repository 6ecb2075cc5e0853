// Recordings under everything at once, by hand and as root: robots behind a network of their own that is cut, a broker
// and a collector that are killed -9, a robot's disk that is full, files that come twice. At the end every row is
// accounted for: node build/test/soak/recordings.js [robots] [seconds]
import { execFileSync, spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import {
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { pause, rowsOf } from '../bridge/fleet.js';
import { Mosquitto } from '../bridge/mosquitto.js';
import { FARSIGHT } from '../fixtures/command.js';

const [robotsText = '4', secondsText = '120'] = process.argv.slice(2);
const ROBOTS = Number(robotsText);
const SECONDS = Number(secondsText);
const NAMESPACE = 'farsight-robots';
const FLEET = '10.213.7.1';
const COLLECTOR = 17_447;
const BROKER = 17_883;
/** Of the robot whose disk is small, MB. */
const SMALL_DISK = 24;

const folder = mkdtempSync(join(tmpdir(), 'farsight-soak-'));
const out = join(folder, 'fleet');
const ip = (...args: string[]) => execFileSync('ip', args);
const script = (name: string) => fileURLToPath(new URL(name, import.meta.url));
const inNamespace = (...command: string[]) => ['netns', 'exec', NAMESPACE, process.execPath, ...command];
const say = (text: string) =>
  console.log(`${((performance.now() - began) / 1000).toFixed(0).padStart(4)} s  ${text}`);

ip('netns', 'add', NAMESPACE);
ip('link', 'add', 'farsight0', 'type', 'veth', 'peer', 'name', 'farsight1');
ip('link', 'set', 'farsight1', 'netns', NAMESPACE);
ip('addr', 'add', `${FLEET}/24`, 'dev', 'farsight0');
ip('link', 'set', 'farsight0', 'up');
ip('netns', 'exec', NAMESPACE, 'ip', 'addr', 'add', '10.213.7.2/24', 'dev', 'farsight1');
ip('netns', 'exec', NAMESPACE, 'ip', 'link', 'set', 'farsight1', 'up');

const began = performance.now();
const small = join(folder, 'robot-0');
mkdirSync(small);
execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${SMALL_DISK}m`, 'tmpfs', small]);
const tokenFile = join(folder, 'token');
writeFileSync(tokenFile, randomUUID());

function start(command: string, args: string[], log: string) {
  const child = spawn(command, args, {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, FARSIGHT_LOG: 'info' },
  });
  let output = '';
  child.stdout.on('data', (piece) => {
    output += piece;
  });
  child.stderr.on('data', (piece) => writeFileSync(join(folder, log), piece, { flag: 'a' }));
  return { child, exited: once(child, 'exit'), output: () => output };
}
const startCollector = () =>
  start(
    process.execPath,
    [
      ...[FARSIGHT, 'collect', '--out', out, '--listen', `${FLEET}:${COLLECTOR}`],
      ...['--token-file', tokenFile, '--json'],
    ],
    'collector.log',
  );
const broker = new Mosquitto(BROKER);
writeFileSync(join(broker.folder, 'mosquitto.conf'), `listener ${BROKER}\nallow_anonymous true\nuser root\n`);

const peaks = new Map<string, number>();
function look(what: string, pid: number | undefined): void {
  try {
    const [, kilobytes] = /VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8')) ?? [];
    if (kilobytes) peaks.set(what, Math.max(peaks.get(what) ?? 0, Math.round(Number(kilobytes) / 1024)));
  } catch {
    // It was just killed.
  }
}

let collector = startCollector();
await broker.start();
const robots = Array.from({ length: ROBOTS }, (_, i) => {
  const directory = join(folder, `robot-${i}`);
  mkdirSync(directory, { recursive: true });
  const boot = randomUUID();
  const recorder = start(
    process.execPath,
    [script('./recordingRobot.js'), directory, `robot-${i}`, boot],
    'recorders.log',
  );
  const bridge = (...more: string[]) =>
    start(
      'ip',
      inNamespace(
        ...[FARSIGHT, 'bridge', '--recordings', directory, '--collect', `http://${FLEET}:${COLLECTOR}`],
        ...[
          '--token-file',
          tokenFile,
          '--mqtt',
          `mqtt://${FLEET}:${BROKER}`,
          '--name',
          `robot-${i}`,
          '--json',
        ],
        ...['--settle', '20', '--bandwidth', '2000', '--reserve', i === 0 ? '2' : '100', ...more],
        ...(i === 0 ? ['--quota', String(SMALL_DISK - 4)] : []),
      ),
      'bridges.log',
    );
  return { directory, boot, recorder, bridge, running: bridge() };
});

/** What happens, and when: shares of the whole time. */
const events: [number, string, () => void | Promise<void>][] = [
  [0.1, 'broker killed', () => broker.kill()],
  [0.14, 'broker back', () => broker.start()],
  [0.2, 'collector killed -9', () => void collector.child.kill('SIGKILL')],
  [0.23, 'collector back', () => restartCollector()],
  [0.3, 'network cut', () => void ip('link', 'set', 'farsight0', 'down')],
  [0.45, 'disk of robot-0 full', fill],
  [0.55, 'disk of robot-0 has room again', () => rmSync(join(small, 'ballast'), { force: true })],
  [0.6, 'network back', () => void ip('link', 'set', 'farsight0', 'up')],
  [0.62, 'broker killed', () => broker.kill()],
  [0.64, 'bridge of robot-1 killed -9', () => void kill(robots[1 % ROBOTS].running.child.pid)],
  [0.65, 'broker back', () => broker.start()],
  [0.66, 'bridge of robot-1 back', () => restartBridge(robots[1 % ROBOTS])],
  [0.68, 'collector killed -9', () => void collector.child.kill('SIGKILL')],
  [0.7, 'collector back', () => restartCollector()],
  [0.75, 'files twice', duplicate],
  [0.8, 'broker killed', () => broker.kill()],
  [0.83, 'broker back', () => broker.start()],
];

function restartCollector(): void {
  collector = startCollector();
}

function restartBridge(robot: (typeof robots)[number]): void {
  robot.running = robot.bridge();
}

/** Takes all the room that there is. */
function fill(): void {
  const path = join(small, 'ballast');
  try {
    for (;;) writeFileSync(path, new Uint8Array(65_536), { flag: 'a' });
  } catch {
    // The disk is full.
  }
}

/** `ip netns exec` becomes the bridge itself. */
function kill(pid: number | undefined): void {
  process.kill(pid!, 'SIGKILL');
}

/** The oldest file of each robot again, under another name: the bridge takes it for a new one. */
function duplicate(): void {
  for (const { directory } of robots) {
    const [name] = readdirSync(directory).filter((file) => file.endsWith('.mcap'));
    if (name) copyFileSync(join(directory, name), join(directory, `copy-${name}`));
  }
}

try {
  for (const [share, what, act] of events) {
    while (performance.now() - began < 1000 * share * SECONDS) {
      await pause(200);
      look('collector', collector.child.pid);
      for (const { recorder, running } of robots) {
        look('recorder', recorder.child.pid);
        look('bridge', running.child.pid);
      }
    }
    say(what);
    await act();
  }
  while (performance.now() - began < 1000 * SECONDS) await pause(200);
  say('robots stop');
  const recorded = await Promise.all(
    robots.map(async ({ recorder }) => {
      recorder.child.kill('SIGTERM');
      await recorder.exited;
      return JSON.parse(recorder.output()) as { robot: string; boot: string; ticks: number; lost: number };
    }),
  );
  const ended = await Promise.all(
    robots.map(async (robot) => {
      robot.running.child.kill('SIGTERM');
      await robot.running.exited;
      const last = robot.bridge('--once');
      await last.exited;
      return JSON.parse(last.output().trim().split('\n').at(-1)!) as {
        dropped: { rows: number; files: number };
      };
    }),
  );
  say('all is uploaded');
  collector.child.kill('SIGTERM');
  await collector.exited;
  const { rows, sources } = await rowsOf(out);
  let unexplained = 0;
  for (const [i, { robot, boot, ticks, lost }] of recorded.entries()) {
    let there = 0;
    for (let tick = 0; tick < ticks; tick++) if (rows.has(`${robot} ${boot} ${tick}`)) there++;
    const { dropped } = ended[i];
    // A row of a file that was dropped may be in a black box, too, that was not.
    const absent = ticks - there;
    unexplained += Math.max(0, absent - dropped.rows - lost);
    console.log(
      `${robot}: ${ticks} ticks, ${there} in the dataset; ${dropped.files} files with ${dropped.rows} rows dropped by the quota, ${lost} rows lost by the recorder`,
    );
  }
  const duplicates = sources.reduce((sum, source) => sum + source.duplicates, 0);
  console.log(
    `${sources.length} files, ${rows.size} rows, each once; ${duplicates} duplicates refused; not accounted for: ${unexplained}`,
  );
  console.log(`most memory, MB: ${[...peaks].map((peak) => peak.join(' ')).join(', ')}`);
} finally {
  for (const { recorder, running } of robots) {
    recorder.child.kill('SIGKILL');
    running.child.kill('SIGKILL');
  }
  collector.child.kill('SIGKILL');
  await broker.dispose();
  execFileSync('umount', ['-l', small]);
  execFileSync('ip', ['link', 'del', 'farsight0']);
  execFileSync('ip', ['netns', 'del', NAMESPACE]);
  console.log(`logs and dataset: ${folder}`);
}
