// farsight doctor: what this machine can do for Farsight, and how to mend what it cannot.
import { command, execute } from '../command.js';
import type { Check, Status } from '../doctor/check.js';

const COLOR: Record<Status, number> = { ok: 32, warning: 33, missing: 90, broken: 31 };

export function doctorCommand() {
  return command(
    'doctor',
    'check what this machine can do: real-time scheduling, ROS 2, MQTT, CUDA, packages',
    'farsight doctor --mqtt mqtt://localhost:1883',
  )
    .option('--mqtt <url>', 'also try to connect to this broker')
    .action((options: { json?: boolean; mqtt?: string }) =>
      execute(options.json, () => examine(options.mqtt), show, nothingBroken),
    );
}

async function examine(mqtt: string | undefined): Promise<{ checks: Check[] }> {
  const [{ brokerChecks }, { realTimeChecks }, { ros2Checks }, { softwareChecks }] = await Promise.all([
    import('../doctor/broker.js'),
    import('../doctor/realTime.js'),
    import('../doctor/ros2.js'),
    import('../doctor/software.js'),
  ]);
  // The measurement of wake-up latency runs alone, before the others make work.
  const broker = await brokerChecks(mqtt);
  const realTime = await realTimeChecks();
  const checks = [...(await softwareChecks()), ...realTime, ...(await ros2Checks()), ...broker];
  return { checks };
}

/** Exit code 1 when something that Farsight cannot do without is broken. */
function nothingBroken({ checks }: { checks: Check[] }): boolean {
  return checks.every(({ status }) => status !== 'broken');
}

function show({ checks }: { checks: Check[] }): void {
  const colored = process.stdout.isTTY && !process.env.NO_COLOR;
  const paint = (code: number, text: string) => (colored ? `\x1b[${code}m${text}\x1b[0m` : text);
  const width = Math.max(...checks.map(({ name }) => name.length));
  for (const { name, status, detail, remedy } of checks) {
    console.log(`${paint(COLOR[status], status.padEnd(7))}  ${name.padEnd(width)}  ${detail}`);
    if (remedy !== null) console.log(`${' '.repeat(9 + width)}  ${paint(90, `→ ${remedy}`)}`);
  }
  const count = (status: Status) => checks.filter((check) => check.status === status).length;
  console.log(
    `\n${count('ok')} ok, ${count('warning')} to mend for best results, ${count('missing')} optional and absent, ${count('broken')} broken`,
  );
}
