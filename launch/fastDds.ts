// Fast DDS by UDP alone, in the processes of the loop and of the simulated robot.
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const UDP = fileURLToPath(new URL('../../launch/ros2/config/fastdds_udp.xml', import.meta.url));
const UDP_LOCALHOST = fileURLToPath(
  new URL('../../launch/ros2/config/fastdds_udp_localhost.xml', import.meta.url),
);
/** Where Fast DDS looks for profiles: up to version 2, and from 3 on. */
const PROFILES = ['FASTRTPS_DEFAULT_PROFILES_FILE', 'FASTDDS_DEFAULT_PROFILES_FILE'] as const;

/**
 * Keeps Fast DDS off shared memory, whose locks it shares with every process of the computer: one of low priority that
 * joins or leaves and is not scheduled held the loop up for 0.33 s. To be called before the first node and before any
 * thread; changes `env`. Transports and profiles of the user's own stay, and so does a middleware that is another.
 */
export function avoidSharedMemory(env: NodeJS.ProcessEnv = process.env): void {
  if (!usesFastDds(env) || env.FASTDDS_BUILTIN_TRANSPORTS || PROFILES.some((name) => env[name])) return;
  // On one computer alone ROS 2 adds shared memory by itself, whatever the profile says, unless it is told to add nothing.
  const localhost = env.ROS_AUTOMATIC_DISCOVERY_RANGE === 'LOCALHOST';
  if (env.ROS_LOCALHOST_ONLY === '1' || (localhost && env.ROS_STATIC_PEERS)) return;
  if (localhost) env.ROS_AUTOMATIC_DISCOVERY_RANGE = 'SYSTEM_DEFAULT';
  for (const name of PROFILES) env[name] = localhost ? UDP_LOCALHOST : UDP;
}

/** Which is what ROS 2 takes when nobody says another. */
function usesFastDds({
  RMW_IMPLEMENTATION: chosen,
  AMENT_PREFIX_PATH: prefixes = '',
}: NodeJS.ProcessEnv): boolean {
  if (chosen) return /^rmw_fastrtps/.test(chosen);
  return prefixes.split(':').some((prefix) => existsSync(join(prefix, 'lib', 'librmw_fastrtps_cpp.so')));
}
