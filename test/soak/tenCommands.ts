// The ten commands of docs/bridge.md as they stand there, in an empty folder and a network of their own: at the end the robot
// runs the refitted policy. By hand, with Mosquitto, as root or where unshare may: node build/test/soak/tenCommands.js
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { readPolicyFile } from '../../contract/policyFile.js';

const [, commands] = /^## Ten commands\n[\s\S]*?^```sh\n([\s\S]*?)^```/m.exec(
  readFileSync('docs/bridge.md', 'utf8'),
)!;
assert.deepEqual(
  [...commands.matchAll(/# (\d+)$/gm)].map(([, number]) => Number(number)),
  Array.from({ length: 10 }, (_, i) => i + 1),
);
const folder = mkdtempSync(join(tmpdir(), 'farsight-ten-'));
symlinkSync(resolve('node_modules'), join(folder, 'node_modules'));
// As the checkout's, which is set up already.
writeFileSync(join(folder, 'package.json'), JSON.stringify({ scripts: { demo: 'farsight demo' } }));
const script = commands.replace(
  /^npx farsight refit/m,
  'while [ "$(ls fleet/*/rows 2>/dev/null | wc -l)" -lt 3 ]; do sleep 1; done\n$&',
);
const ask = `
curl -sf http://127.0.0.1:7448 >/dev/null || echo "the page does not answer" >&2
npx farsight monitor --mqtt mqtt://127.0.0.1 --once --json > asked.json
`;
const own = spawnSync('unshare', ['-n', 'true']).status === 0 ? '-n' : '-rn';
const began = performance.now();
const child = spawn('unshare', [own, 'bash', '-ec', `ip link set lo up\n${script}${ask}`], {
  cwd: folder,
  stdio: ['ignore', 'inherit', 'inherit'],
  detached: true,
});
const [code] = await once(child, 'exit');
process.kill(-child.pid!, 'SIGTERM');
assert.equal(code, 0);
const { sha256 } = readPolicyFile(join(folder, 'runs', 'pendulum-2', 'policy.onnx'));
const asked = readFileSync(join(folder, 'asked.json'), 'utf8');
assert.ok(asked.includes(sha256), asked);
console.log(
  `${((performance.now() - began) / 60_000).toFixed(1)} minutes; the robot runs ${sha256.slice(0, 12)}: ${folder}`,
);
