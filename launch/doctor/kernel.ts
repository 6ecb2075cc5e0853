// Doctor's checks of the kernel and the processors that the loop runs on: what will disturb it.
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { availableParallelism, release, version } from 'node:os';
import { gunzipSync } from 'node:zlib';
import { type Check, ok } from './check.js';
import { readText } from './computer.js';

const PROCESSORS = '/sys/devices/system/cpu';

export function kernelChecks(): Check[] {
  return [kernel(), clockSource(), governor(), cores(), tickless(), throttling(), budget()];
}

function kernel(): Check {
  const preemptRt = readText('/sys/kernel/realtime') === '1' || version().includes('PREEMPT_RT');
  if (preemptRt) return ok('Kernel', `${release()}, PREEMPT_RT`);
  return {
    name: 'Kernel',
    status: 'warning',
    detail: `${release()}, not PREEMPT_RT: rare wake-ups come milliseconds late`,
    remedy:
      "on a robot install a PREEMPT_RT kernel: 'linux-image-rt-amd64' on Debian, 'pro enable realtime-kernel' on Ubuntu",
  };
}

function governor(): Check {
  const name = 'CPU governor';
  const folder = '/sys/devices/system/cpu';
  const found = readdirSync(folder)
    .filter((entry) => /^cpu\d+$/.test(entry))
    .flatMap((cpu) => readText(`${folder}/${cpu}/cpufreq/scaling_governor`) ?? []);
  const kinds = [...new Set(found)];
  if (kinds.length === 0)
    return ok(name, 'none: the clock is fixed, or the host of this virtual machine sets it');
  if (kinds.every((kind) => kind === 'performance')) return ok(name, 'performance');
  return {
    name,
    status: 'warning',
    detail: `${kinds.join(', ')}: cores slow down between ticks`,
    remedy:
      "'cpupower frequency-set -g performance', or write it to /sys/devices/system/cpu/cpu*/cpufreq/scaling_governor",
  };
}

/** The loop reads the clock several times a tick, through the kernel when it is not the processor's own. */
function clockSource(): Check {
  const name = 'Clock source';
  const found = readText('/sys/devices/system/clocksource/clocksource0/current_clocksource');
  if (found !== 'hpet' && found !== 'acpi_pm' && found !== 'jiffies') return ok(name, found ?? 'unknown');
  return {
    name,
    status: 'warning',
    detail: `${found}: reading the clock takes microseconds`,
    remedy:
      "look at 'dmesg | grep -i tsc' for why the processor's own clock is refused; 'tsc=reliable' boots with it",
  };
}

/** Lists of processors as the kernel writes them, '2-3,6'; empty for none. */
const processorList = (name: string) => (readText(`${PROCESSORS}/${name}`) ?? '').replace('(null)', '');

function cores(): Check {
  const name = 'Cores';
  const count = availableParallelism();
  const isolated = processorList('isolated');
  if (count < 2) {
    return {
      name,
      status: 'warning',
      detail: 'one core: everything else on it waits for the loop, and slows it',
      remedy: 'give Farsight at least two cores',
    };
  }
  if (isolated !== '') return ok(name, `${count}, isolated: ${isolated}`);
  return {
    name,
    status: 'ok',
    detail: `${count}, none isolated`,
    remedy:
      "for tails below 100 µs on a robot, boot with 'isolcpus=N nohz_full=N irqaffinity=OTHERS' and start the controller with --core N (docs/realtime.md)",
  };
}

function tickless(): Check {
  const name = 'Tickless cores';
  const isolated = processorList('isolated');
  const full = processorList('nohz_full');
  if (full !== '') return ok(name, full);
  if (isolated === '') return ok(name, 'none, and no core is isolated');
  return {
    name,
    status: 'warning',
    detail: `none: the kernel's tick still interrupts the isolated core ${isolated}`,
    remedy: `boot with 'nohz_full=${isolated} rcu_nocbs=${isolated}' (the kernel needs CONFIG_NO_HZ_FULL)`,
  };
}

function throttling(): Check {
  const name = 'Real-time throttling';
  const runtime = Number(readText('/proc/sys/kernel/sched_rt_runtime_us') ?? '-1');
  const period = Number(readText('/proc/sys/kernel/sched_rt_period_us') ?? '1000000');
  if (runtime < 0) return ok(name, 'off');
  const share = (100 * runtime) / period;
  if (share >= 50)
    return ok(name, `after ${share.toFixed(0)} % of each ${period / 1e6} s, more than the loop uses`);
  return {
    name,
    status: 'warning',
    detail: `after ${share.toFixed(0)} % of each ${period / 1e6} s: the loop may be stopped`,
    remedy: "'sysctl kernel.sched_rt_runtime_us=950000'",
  };
}

/** A kernel with CONFIG_RT_GROUP_SCHED gives SCHED_FIFO only to control groups that were given a budget. */
function budget(): Check {
  const name = 'Real-time budget';
  const group = /^\d+:(?:[^:]*,)?cpu(?:,[^:]*)?:(.*)$/m.exec(readText('/proc/self/cgroup') ?? '')?.[1];
  const path =
    group &&
    ['/sys/fs/cgroup/cpu', '/sys/fs/cgroup/cpu,cpuacct']
      .map((folder) => `${folder}${group}/cpu.rt_runtime_us`)
      .find((file) => existsSync(file));
  if (path) {
    const runtime = Number(readText(path));
    if (runtime !== 0)
      return ok(name, `of this control group: ${runtime < 0 ? 'all' : `${runtime} µs`} of each period`);
    return {
      name,
      status: 'warning',
      detail: `none: control group ${group} was given no real-time budget, so SCHED_FIFO is refused`,
      remedy: `'echo 950000 > ${path}', or start farsight in the root control group; in Docker --cpu-rt-runtime=950000`,
    };
  }
  if (!kernelOption('CONFIG_RT_GROUP_SCHED'))
    return ok(name, 'not needed: this kernel has no budgets for control groups');
  if (readText('/proc/self/cgroup')?.endsWith(':/')) return ok(name, 'of the root control group');
  return {
    name,
    status: 'warning',
    detail:
      'this kernel has CONFIG_RT_GROUP_SCHED: outside of the root control group SCHED_FIFO may be refused',
    remedy:
      "boot with 'rt_group_sched=0' where the kernel knows it, or use a kernel without CONFIG_RT_GROUP_SCHED",
  };
}

function kernelOption(option: string): boolean {
  const text =
    readText(`/boot/config-${release()}`) ??
    (existsSync('/proc/config.gz') ? gunzipSync(readFileSync('/proc/config.gz')).toString() : '');
  return new RegExp(`^${option}=y$`, 'm').test(text);
}
