// A person at the robot, in a process of its own: orders its faults, calls the controller's services, reads what it says.
import { loadRclnodejs } from '../../controller/ros/management/rclnodejs.js';

const CONTROLLER = '/farsight_controller';
/** Configuring loads and warms a policy. */
const CONFIGURE_MS = 30_000;
const rcl = await loadRclnodejs([
  'diagnostic_msgs',
  'lifecycle_msgs',
  'rcl_interfaces',
  'std_msgs',
  'std_srvs',
]);
await rcl.init(undefined, []);

interface Client {
  sendRequest(request: object, callback: (response: never) => void): void;
  waitForService(timeoutMs: number): Promise<boolean>;
}
const node = new rcl.Node('operator', '', undefined, {}) as InstanceType<typeof rcl.Node> & {
  createClient(type: string, name: string): Client;
  createSubscription(type: string, topic: string, options: object, callback: (message: never) => void): void;
};
const trigger = (name: string) => node.createClient('std_srvs/srv/Trigger', name);
const clients = {
  rearm: trigger(`${CONTROLLER}/rearm`),
  reload: trigger(`${CONTROLLER}/reload_policy`),
  emergencyStop: trigger(`${CONTROLLER}/emergency_stop`),
  reset: trigger('/farsight_robot/reset'),
  changeState: node.createClient('lifecycle_msgs/srv/ChangeState', `${CONTROLLER}/change_state`),
  getState: node.createClient('lifecycle_msgs/srv/GetState', `${CONTROLLER}/get_state`),
  setParameters: node.createClient('rcl_interfaces/srv/SetParameters', `${CONTROLLER}/set_parameters`),
};
const fault = node.createPublisher('std_msgs/msg/String', '/farsight_robot/fault');

interface Status {
  level: number;
  name: string;
  message: string;
  values: { key: string; value: string }[];
}
export interface Told {
  mode: string;
  fault: string;
  /** Of /diagnostics, by the name's last word. */
  statuses: Record<string, { level: number; message: string; values: Record<string, string> }>;
}
const told: Told = { mode: '', fault: '', statuses: {} };
const latched = { qos: new rcl.QoS(1, 1, 1, 1) };
for (const name of ['mode', 'fault'] as const) {
  const hear = ({ data }: { data: string }) => {
    told[name] = data;
  };
  node.createSubscription('std_msgs/msg/String', `${CONTROLLER}/${name}`, latched, hear);
}
node.createSubscription(
  'diagnostic_msgs/msg/DiagnosticArray',
  '/diagnostics',
  {},
  ({ status }: { status: Status[] }) => {
    for (const { level, name, message, values } of status) {
      const pairs = values.map(({ key, value }) => [key, value]);
      told.statuses[name.split(' ').at(-1)!] = { level, message, values: Object.fromEntries(pairs) };
    }
  },
);
node.spin(10);

export interface Response {
  success: boolean;
  message?: string;
}
/** A service whose process has just been started may not be found yet: it is asked again. */
async function call<Answer = Response>(client: Client, request: object, patience = 3000): Promise<Answer> {
  for (let i = 0; i < 5; i++) {
    await client.waitForService(5000);
    const answer = await Promise.race([
      new Promise<Answer>((resolve) => client.sendRequest(request, resolve)),
      new Promise<undefined>((resolve) => setTimeout(() => resolve(undefined), patience)),
    ]);
    if (answer) return answer;
  }
  throw new Error('no service answers');
}

const orders = {
  rearm: () => call(clients.rearm, {}),
  emergencyStop: () => call(clients.emergencyStop, {}),
  reset: () => call(clients.reset, {}),
  configure: () => call(clients.changeState, { transition: { id: 1, label: '' } }, CONFIGURE_MS),
  cleanup: () => call(clients.changeState, { transition: { id: 2, label: '' } }),
  activate: () => call(clients.changeState, { transition: { id: 3, label: '' } }),
  deactivate: () => call(clients.changeState, { transition: { id: 4, label: '' } }),
  stage: async () =>
    (await call<{ current_state: { label: string } }>(clients.getState, {})).current_state.label,
  reload: () => call(clients.reload, {}, CONFIGURE_MS),
  policy: async (path: string): Promise<boolean> => {
    const value = { type: 4, string_value: path };
    const { results } = await call<{ results: { successful: boolean }[] }>(clients.setParameters, {
      parameters: [{ name: 'policy', value }],
    });
    return results[0].successful;
  },
  patience: async (seconds: number): Promise<boolean> => {
    const value = { type: 3, double_value: seconds };
    const { results } = await call<{ results: { successful: boolean }[] }>(clients.setParameters, {
      parameters: [{ name: 'heartbeat_timeout', value }],
    });
    return results[0].successful;
  },
  suffer: (faults: string) => fault.publish({ data: faults }),
  look: () => told,
};
export type Orders = typeof orders;

process.on('message', async ({ id, order, given }: { id: number; order: keyof Orders; given: never }) => {
  process.send!({ id, answer: (await orders[order](given)) ?? null });
});
process.on('disconnect', () => process.exit());
process.send!('ready');
