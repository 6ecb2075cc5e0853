// A robot that only keeps time: publishes numbered, stamped joint states, and notes when the command that answers each comes.
// A process of its own, started by rosLatency.ts: its main thread talks with the benchmark, its other thread is real-time.
import { isMainThread, Worker, workerData } from 'node:worker_threads';
import { messageOf } from '../../contract/errors.js';
import { type HistogramSample, LatencyHistogram } from '../../contract/histogram.js';
import { LOOP_PRIORITY, takeRealtimeThread } from '../../controller/realtime.js';
import { DECODE, Float64MultiArrayDecoder } from '../../controller/ros/link/readMessages.js';
import { jointState, setFloat64, setStamp } from '../../controller/ros/link/writeMessages.js';
import { withRealtimeThreads } from '../../controller/ros/rcl/middlewareThreads.js';
import { RosNode } from '../../controller/ros/rcl/rcl.js';
import { RosClock } from '../../controller/ros/rcl/rosClock.js';

/** What the benchmark sends when the process is up, and the process's arguments as it starts. */
export interface LatencyRobotOptions {
  /** Joints of the states; the first one's position is the message's number, the others' 0. */
  joints: string[];
  /** Length of the commands; the first is the number of the message that was answered. */
  commands: number;
  /** Messages a second. */
  rateHz: number;
}
export type ToLatencyRobot = 'begin' | 'end';
/** `answered`: the first command of a policy came; `measured`: the answer to `end`. */
export type FromLatencyRobot =
  | { kind: 'answered' }
  | ({ kind: 'measured' } & MeasuredLatency)
  | { kind: 'failed'; message: string };

/** What came of the messages published between `begin` and `end`. */
export interface MeasuredLatency {
  /** Time from just before a message's publication to the first command that answers it, or a newer one. */
  latency: HistogramSample;
  messages: number;
  /** Messages that no command answered, because one computed from a newer message came first. */
  superseded: number;
  /** Messages after which no command came. */
  lost: number;
}

/** Above the loop and the middleware's threads: what it notes is not to depend on them. */
const PRIORITY = LOOP_PRIORITY + 1;
/** Messages whose time of publication is kept. */
const KEPT = 1 << 16;
/** Milliseconds that commands may still take after the last message. */
const GRACE = 1000;
const QOS = { reliability: 'reliable', durability: 'volatile', depth: 10 } as const;

/** Words of the shared state. */
const WORD = {
  stop: 0,
  begin: 1,
  end: 2,
  answered: 3,
  messages: 4,
  superseded: 5,
  noted: 6,
  length: 7,
} as const;

interface ThreadData extends LatencyRobotOptions {
  words: Int32Array;
  histogram: SharedArrayBuffer;
}

/** The real-time thread: until the stop word is set, publishes at each deadline and waits for commands between. */
function keepTime({ joints, commands: length, rateHz, words, histogram }: ThreadData): void {
  const { made } = withRealtimeThreads(() => {
    const node = new RosNode({ name: `latency_robot_${process.pid}` });
    const commands = node.subscription(
      'forward_command_controller/commands',
      'std_msgs/msg/Float64MultiArray',
      QOS,
    );
    const states = node.publisher('joint_states', 'sensor_msgs/msg/JointState', QOS);
    return { node, commands, states, waiter: node.waiter(commands) };
  });
  const { node, commands, states, waiter } = made;
  const { clock } = takeRealtimeThread([words], PRIORITY);
  const system = new RosClock();
  const message = jointState(joints, ['position']);
  const decoder = new Float64MultiArrayDecoder(length);
  const latency = new LatencyHistogram(histogram);
  const published = new Float64Array(KEPT);
  const times = new Float64Array(2);
  const [now, deadline] = [0, 1];
  const period = 1e9 / rateHz;
  let count = 0;
  let answered = 0;
  let first = Infinity;
  let last = Infinity;

  const publish = () => {
    count++;
    system.read();
    setStamp(message, system.stamp[0], system.stamp[1]);
    setFloat64(message, message.position, 0, count);
    clock.stamp(published, count % KEPT);
    states.publish(message.bytes);
  };
  const note = (answer: number) => {
    if (answer <= answered || answer > count) return;
    for (let i = Math.max(answered + 1, first, answer - KEPT + 1); i <= Math.min(answer, last); i++) {
      latency.record(times[now] - published[i % KEPT]);
      words[WORD.noted]++;
      if (i < answer) words[WORD.superseded]++;
    }
    answered = answer;
    Atomics.store(words, WORD.answered, 1);
  };

  clock.stamp(times, deadline);
  while (Atomics.load(words, WORD.stop) === 0) {
    times[deadline] += period;
    for (;;) {
      clock.stamp(times, now);
      for (let size = commands.take(); size > 0; size = commands.take()) {
        if (decoder.decode(commands.view, size) === DECODE.decoded) note(decoder.values[0]);
      }
      if (times[now] >= times[deadline]) break;
      waiter.wait(Math.ceil(times[deadline] - times[now]));
    }
    // Lost time is not made up in a burst.
    if (times[now] > times[deadline] + period) times[deadline] = times[now];
    if (first === Infinity && Atomics.load(words, WORD.begin) === 1) first = count + 1;
    if (last === Infinity && Atomics.load(words, WORD.end) === 1) {
      last = count;
      Atomics.store(words, WORD.messages, last - first + 1);
    }
    publish();
  }
  node.release();
}

function main(): void {
  const options = JSON.parse(process.argv[2]) as LatencyRobotOptions;
  const words = new Int32Array(new SharedArrayBuffer(4 * WORD.length));
  const latency = new LatencyHistogram();
  const data: ThreadData = { ...options, words, histogram: latency.buffer };
  const tell = (message: FromLatencyRobot) => void process.send?.(message);
  new Worker(new URL(import.meta.url), { workerData: data }).once('error', (error) =>
    tell({ kind: 'failed', message: messageOf(error) }),
  );
  process.on('disconnect', () => process.exit());
  const waiting = setInterval(() => {
    if (Atomics.load(words, WORD.answered) === 0) return;
    clearInterval(waiting);
    tell({ kind: 'answered' });
  }, 20);
  process.on('message', (message: ToLatencyRobot) => {
    Atomics.store(words, WORD[message], 1);
    if (message !== 'end') return;
    setTimeout(() => {
      const [messages, superseded, noted] = [WORD.messages, WORD.superseded, WORD.noted].map(
        (word) => words[word],
      );
      tell({ kind: 'measured', latency: latency.sample(), messages, superseded, lost: messages - noted });
    }, GRACE);
  });
}

if (isMainThread) main();
else keepTime(workerData as ThreadData);
