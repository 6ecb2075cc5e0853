// Fast DDS without shared memory: which environments are changed, and that a real participant then has no thread for it.
import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { avoidSharedMemory } from '../../launch/fastDds.js';
import { farsight } from '../ros/farsightProcess.js';
import { noRos } from '../ros/needsRos.js';

test('profiles are given to Fast DDS alone, and never in place of the own ones', () => {
  const changed = (env: NodeJS.ProcessEnv) => {
    const after = { ...env };
    avoidSharedMemory(after);
    return Object.entries(after)
      .filter(([name, value]) => env[name] !== value)
      .map(([name, value]) => `${name}=${value?.split('/').at(-1)}`);
  };
  const fast = { RMW_IMPLEMENTATION: 'rmw_fastrtps_cpp' };
  const profiles = (file: string) => [
    `FASTRTPS_DEFAULT_PROFILES_FILE=${file}`,
    `FASTDDS_DEFAULT_PROFILES_FILE=${file}`,
  ];
  assert.deepEqual(changed(fast), profiles('fastdds_udp.xml'));
  assert.deepEqual(changed({ ...fast, ROS_AUTOMATIC_DISCOVERY_RANGE: 'LOCALHOST' }), [
    'ROS_AUTOMATIC_DISCOVERY_RANGE=SYSTEM_DEFAULT',
    ...profiles('fastdds_udp_localhost.xml'),
  ]);
  for (const own of [
    { RMW_IMPLEMENTATION: 'rmw_cyclonedds_cpp' },
    { ...fast, FASTDDS_BUILTIN_TRANSPORTS: 'LARGE_DATA' },
    { ...fast, FASTRTPS_DEFAULT_PROFILES_FILE: '/etc/own.xml' },
    { ...fast, ROS_LOCALHOST_ONLY: '1' },
    { ...fast, ROS_AUTOMATIC_DISCOVERY_RANGE: 'LOCALHOST', ROS_STATIC_PEERS: '10.0.0.2' },
    { AMENT_PREFIX_PATH: '/nowhere' },
  ])
    assert.deepEqual(changed(own), []);
  const env = { ...fast } as NodeJS.ProcessEnv;
  avoidSharedMemory(env);
  assert.ok(existsSync(env.FASTRTPS_DEFAULT_PROFILES_FILE!));
});

const library = `${process.env.AMENT_PREFIX_PATH?.split(':')[0]}/lib/librmw_fastrtps_cpp.so`;
const skip = noRos || (existsSync(library) ? false : 'needs rmw_fastrtps_cpp');

for (const [range, ready, ...command] of [
  ['LOCALHOST', 'joint_states at', 'robot', '--task', 'inverted-pendulum'],
  ['SUBNET', 'joint_states at', 'robot', '--task', 'inverted-pendulum'],
  ['LOCALHOST', 'waiting to be configured', 'control', '--robot', 'ros2', '--wait'],
])
  test(`${command[0]} on Fast DDS has no thread for shared memory, discovery range ${range}`, {
    skip,
  }, async () => {
    process.env.RMW_IMPLEMENTATION = 'rmw_fastrtps_cpp';
    process.env.ROS_AUTOMATIC_DISCOVERY_RANGE = range;
    const { child, says } = farsight([], ...command);
    try {
      await says(ready);
      const tasks = `/proc/${child.pid}/task`;
      const names = readdirSync(tasks).map((thread) => readFileSync(`${tasks}/${thread}/comm`, 'utf8'));
      assert.ok(
        names.some((name) => name.startsWith('dds.udp')),
        names.join(),
      );
      assert.deepEqual(
        names.filter((name) => name.startsWith('dds.shm')),
        [],
      );
    } finally {
      child.kill('SIGKILL');
    }
  });
