// Doctor's checks of ROS 2: is it sourced, and can rclnodejs talk to it.
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { type Check, installedPackage, ok } from './check.js';

export function ros2Checks(): Check[] {
  return [ros2(), rclnodejs()];
}

function sourced(): boolean {
  return Boolean(process.env.AMENT_PREFIX_PATH && process.env.ROS_DISTRO);
}

function ros2(): Check {
  const name = 'ROS 2';
  const { ROS_DISTRO, RMW_IMPLEMENTATION, ROS_DOMAIN_ID } = process.env;
  if (sourced())
    return ok(
      name,
      `${ROS_DISTRO}, ${RMW_IMPLEMENTATION ?? 'default middleware'}, domain ${ROS_DOMAIN_ID ?? 0}`,
    );
  const installed = existsSync('/opt/ros') ? readdirSync('/opt/ros') : [];
  return {
    name,
    status: 'missing',
    detail: `not sourced; everything but '--robot ros2' works without it`,
    remedy:
      installed.length > 0
        ? `'source /opt/ros/${installed[0]}/setup.bash', then start farsight from that shell`
        : 'install ROS 2 (https://docs.ros.org), source its setup.bash, then npm ci',
  };
}

/**
 * Loads rclnodejs in a process of its own, and only when ROS 2 is sourced and the addon is built: importing it
 * without a sourced ROS 2 deletes a build that was made from source.
 */
function rclnodejs(): Check {
  const name = 'rclnodejs';
  const found = installedPackage('rclnodejs');
  const remedy =
    'source ROS 2, then npm ci (it needs a C++ compiler and python3 where no prebuilt addon fits)';
  if (!found) return { name, status: 'missing', detail: 'not installed (optional, for ROS 2)', remedy };
  if (!sourced()) {
    const detail = `${found.version}, not tried: ROS 2 is not sourced`;
    return { name, status: 'missing', detail, remedy: 'source ROS 2 first' };
  }
  const { directory, version } = found;
  const built = existsSync(join(directory, 'build', 'Release', 'rclnodejs.node'));
  if (!built && !existsSync(join(directory, 'prebuilds')))
    return { name, status: 'warning', detail: `${version}, its addon is not built`, remedy };
  if (!existsSync(join(directory, 'generated'))) {
    const detail = `${version}, the JavaScript of its messages is not generated`;
    return { name, status: 'warning', detail, remedy: 'npx generate-ros-messages' };
  }
  const run = spawnSync(process.execPath, ['-e', 'require(process.argv[1])', directory], {
    encoding: 'utf8',
    timeout: 30_000,
  });
  if (run.status === 0) return ok(name, `${version}, loads`);
  const why = /Error: (.*)/.exec(run.stderr)?.[1] ?? `ended with ${run.signal ?? run.status}`;
  return { name, status: 'warning', detail: `${version} does not load: ${why}`, remedy };
}
