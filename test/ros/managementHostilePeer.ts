// A peer that asks the controller's node for all that is wrong; exits with 0 when the node still answers afterwards.
import { loadRclnodejs } from '../../controller/ros/management/rclnodejs.js';

const [, , target] = process.argv;
const rcl = await loadRclnodejs(['lifecycle_msgs', 'rcl_interfaces', 'std_srvs']);
await rcl.init(undefined, []);

interface Client {
  sendRequest(request: object, callback: (response: never) => void): void;
  waitForService(timeoutMs: number): Promise<boolean>;
}
const node = new rcl.Node('hostile_peer', '', undefined, {}) as InstanceType<typeof rcl.Node> & {
  createClient(type: string, name: string): Client;
};
const client = (type: string, name: string) => node.createClient(type, `${target}/${name}`);
const changeState = client('lifecycle_msgs/srv/ChangeState', 'change_state');
const getParameters = client('rcl_interfaces/srv/GetParameters', 'get_parameters');
const describeParameters = client('rcl_interfaces/srv/DescribeParameters', 'describe_parameters');
const setParameters = client('rcl_interfaces/srv/SetParameters', 'set_parameters');
const listParameters = client('rcl_interfaces/srv/ListParameters', 'list_parameters');
const rearm = client('std_srvs/srv/Trigger', 'rearm');
// Fast DDS refuses that on the peer's own side.
const wrongType =
  process.env.RMW_IMPLEMENTATION === 'rmw_fastrtps_cpp'
    ? undefined
    : client('std_srvs/srv/Trigger', 'change_state');
node.spin(10);
if (!(await changeState.waitForService(30_000))) throw new Error('the node is not there');

const pause = (ms: number) => new Promise<void>((resolve) => setTimeout(() => resolve(), ms));
/** Undefined when no answer comes. */
const ask = (to: Client, request: object) =>
  Promise.race([new Promise<object>((resolve) => to.sendRequest(request, resolve)), pause(5000)]);

// Every id without a label, but those that a person may ask for.
for (let id = 0; id < 256; id++) {
  if (id >= 1 && id <= 7) continue;
  const answer = (await ask(changeState, { transition: { id, label: '' } })) as { success: boolean };
  if (answer.success) throw new Error(`id ${id} was taken`);
}
for (const label of ['x'.repeat(100_000), '\0', 'configure\n', '../..', 'é'.repeat(1000), '%n%s'])
  await ask(changeState, { transition: { id: 3, label } });
wrongType?.sendRequest({}, () => {});

const strange = ['', ' ', '.', 'nothing', 'qos_overrides.', '__proto__', 'constructor', 'a'.repeat(50_000)];
await ask(getParameters, { names: strange });
await ask(describeParameters, { names: strange });
await ask(getParameters, { names: Array.from({ length: 10_000 }, (_, i) => `p${i}`) });
await ask(listParameters, { prefixes: strange, depth: 2n ** 63n });
for (const type of [0, 5, 6, 9, 10, 255]) {
  await ask(setParameters, {
    parameters: [...strange, 'log_level', 'rate'].map((name) => ({ name, value: { type } })),
  });
}
for (const value of [Number.NaN, Infinity, -1e300])
  await ask(setParameters, {
    parameters: [{ name: 'diagnostics.wake_p99_warn', value: { type: 3, double_value: value } }],
  });

// A flood: nobody waits for an answer.
for (let i = 0; i < 5000; i++) {
  changeState.sendRequest({ transition: { id: 8 + (i % 248), label: '' } }, () => {});
  rearm.sendRequest({}, () => {});
  if (i % 50 === 0) await pause(1);
}
await pause(500);
const answer = await ask(getParameters, { names: ['rate'] });
rcl.shutdown();
process.exit(answer ? 0 : 1);
