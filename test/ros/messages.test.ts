// Our codec of ROS messages against another implementation, and against bytes that no writer would send.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BodyDecoder } from '../../controller/ros/link/bodyDecoder.js';
import { JointStateDecoder } from '../../controller/ros/link/jointStateDecoder.js';
import {
  DECODE,
  type Decoder,
  Float64MultiArrayDecoder,
  readBool,
} from '../../controller/ros/link/readMessages.js';
import {
  boolMessage,
  float64MultiArray,
  jointState,
  jointTrajectory,
  multiDofCommand,
  setFloat64,
  setStamp,
} from '../../controller/ros/link/writeMessages.js';
import { deserialize, serialize } from './definitions.js';
import { garbage } from './garbage.js';

const viewOf = (bytes: Uint8Array) => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
const decode = (decoder: Decoder, bytes: Uint8Array) => decoder.decode(viewOf(bytes), bytes.length);

const stamp = { sec: 1_790_000_000, nanosec: 987_654_321 };
const names = ['hip', 'knee', 'ankle_of_the_left_leg'];
const joints = names.map((name) => ({ name, position: true, velocity: true, effort: false }));
const state = {
  header: { stamp, frame_id: 'base' },
  name: names,
  position: [1.5, -2.5, 3.25],
  velocity: [0.1, 0.2, 0.3],
  effort: [] as number[],
};

test('joints are found by name, in any order and among others, in either byte order', () => {
  const decoder = new JointStateDecoder(joints);
  const found = () => Array.from(decoder.values.subarray(0, 6));
  const expected = [1.5, -2.5, 3.25, 0.1, 0.2, 0.3];
  for (const frame of ['', 'a', 'ab', 'abc', 'abcdefg']) {
    const bytes = serialize('JointState', { ...state, header: { stamp, frame_id: frame } });
    assert.equal(decode(decoder, bytes), DECODE.decoded);
    assert.deepEqual(found(), expected);
    assert.deepEqual([...decoder.stamp], [stamp.sec, stamp.nanosec]);
  }
  const permuted = serialize('JointState', {
    ...state,
    name: [names[2], 'other', names[0], names[1]],
    position: [3.25, Number.NaN, 1.5, -2.5],
    velocity: [0.3, Number.NaN, 0.1, 0.2],
    effort: [1, 2, 3, 4],
  });
  assert.equal(decode(decoder, permuted), DECODE.decoded);
  assert.deepEqual(found(), expected);
  assert.deepEqual([...decoder.values.subarray(6)], [3, 4, 1]);

  // Big-endian: every word of this layout turned round.
  const big = serialize('JointState', {
    ...state,
    header: { stamp, frame_id: '' },
    name: ['abc', 'def', 'ghi'],
  });
  const view = viewOf(big);
  big[1] = 0;
  const turn32 = (at: number) => view.setUint32(at, view.getUint32(at, true));
  for (const at of [4, 8, 12, 20, 24, 32, 40, 48, 76, 108]) turn32(at);
  for (const start of [52, 84]) {
    for (let i = 0; i < 3; i++) view.setFloat64(start + 8 * i, view.getFloat64(start + 8 * i, true));
  }
  const short = ['abc', 'def', 'ghi'].map((name) => ({ ...joints[0], name }));
  const bigDecoder = new JointStateDecoder(short);
  assert.equal(decode(bigDecoder, big), DECODE.decoded);
  assert.deepEqual([...bigDecoder.values.subarray(0, 6)], expected);
});

test('a name beyond ASCII is found by its UTF-8', () => {
  const message = jointState(['hüfte', '膝'], ['position']);
  setFloat64(message, message.position, 1, 4);
  const decoder = new JointStateDecoder([{ name: '膝', position: true, velocity: false, effort: false }]);
  assert.equal(decode(decoder, message.bytes), DECODE.decoded);
  assert.equal(decoder.values[0], 4);
});

test('a joint state that is not what is wanted is refused with its reason', () => {
  const decoder = new JointStateDecoder(joints);
  const refusal = (change: object) => decode(decoder, serialize('JointState', { ...state, ...change }));
  assert.equal(refusal({ name: ['hip', 'knee', 'ankle'] }), DECODE['wrong names']);
  assert.equal(refusal({ name: ['hip', 'knee', 'knee'] }), DECODE['wrong names']);
  assert.equal(refusal({ name: [], position: [], velocity: [] }), DECODE['wrong names']);
  assert.equal(refusal({ position: [1, 2] }), DECODE['wrong size']);
  assert.equal(refusal({ velocity: [] }), DECODE['wrong size']);
  assert.equal(refusal({ effort: [1] }), DECODE['wrong size']);
  assert.equal(refusal({ velocity: [1, Number.NaN, 2] }), DECODE['not finite']);
  assert.equal(refusal({ position: [1, 1, -Infinity] }), DECODE['not finite']);
  assert.equal(refusal({ effort: [1, Number.NaN, 2] }), DECODE.decoded);
  assert.equal(refusal({ header: { stamp: { sec: 1, nanosec: 1e9 }, frame_id: '' } }), DECODE.malformed);
});

test('of some of the joints, where some are enough', () => {
  const decoder = new JointStateDecoder(joints, 'some');
  const result = (change: object) => decode(decoder, serialize('JointState', { ...state, ...change }));
  const one = { name: ['gripper', 'knee'], position: [8, 9], velocity: [7, 6] };
  assert.equal(result(one), DECODE.decoded);
  assert.deepEqual([...decoder.found], [0, 1, 0]);
  assert.deepEqual([decoder.values[1], decoder.values[4]], [9, 6]);
  assert.equal(result({ name: ['gripper', 'wrist', 'thumb'] }), DECODE['other joints']);
  assert.equal(result({ ...one, name: ['knee', 'knee'] }), DECODE['wrong names']);
  assert.equal(result({ ...one, velocity: [] }), DECODE['wrong size']);
  assert.equal(result({ ...one, velocity: [Number.NaN, 6] }), DECODE.decoded);
  assert.equal(result({ ...one, velocity: [7, Number.NaN] }), DECODE['not finite']);
});

test('bytes cut short, garbled or made up never decode past their end, whatever the type', () => {
  const messages: [Decoder, Uint8Array][] = [
    [new JointStateDecoder(joints), serialize('JointState', state)],
    [new BodyDecoder('Imu', ['rotation.y', 'angularVelocity.y']), serialize('Imu', imu())],
    [new BodyDecoder('Odometry', ['position.z']), serialize('Odometry', odometry())],
    [new Float64MultiArrayDecoder(2), serialize('Float64MultiArray', floats([1, 2]))],
  ];
  let seed = 1;
  const random = (below: number) => {
    seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
    return seed % below;
  };
  for (const [decoder, bytes] of messages) {
    assert.equal(decode(decoder, bytes), DECODE.decoded);
    for (let length = 0; length < bytes.length; length++) {
      assert.notEqual(decoder.decode(viewOf(bytes.slice(0, length)), length), DECODE.decoded, `${length}`);
    }
    assert.equal(decode(decoder, new Uint8Array([...bytes, ...new Uint8Array(64)])), DECODE.malformed);
    for (let round = 0; round < 20_000; round++) {
      const garbled = bytes.slice();
      for (let k = 0; k <= random(4); k++)
        garbled[random(garbled.length)] = random(3) === 0 ? 255 : random(256);
      decode(decoder, garbled);
      const noise = Uint8Array.from({ length: 4 + random(200) }, () => random(256));
      noise.set([0, random(2)]);
      decode(decoder, noise);
    }
    // Nothing of all that stays behind.
    assert.equal(decode(decoder, bytes), DECODE.decoded);
    for (const encoding of [2, 3, 6, 7, 9]) {
      const other = bytes.slice();
      other[1] = encoding;
      assert.equal(decode(decoder, other), DECODE.malformed, 'an encoding that is not plain CDR');
    }
  }
});

const vector = (x: number, y: number, z: number) => ({ x, y, z });
function imu(angle = 0.5, covariance = 0) {
  return {
    header: { stamp, frame_id: 'imu' },
    orientation: { x: 0, y: Math.sin(angle / 2), z: 0, w: Math.cos(angle / 2) },
    orientation_covariance: [covariance, 0, 0, 0, 0, 0, 0, 0, 0],
    angular_velocity: vector(1, 2, 3),
    angular_velocity_covariance: new Array(9).fill(0.1),
    linear_acceleration: vector(4, 5, 6),
    linear_acceleration_covariance: new Array(9).fill(0.2),
  };
}
function odometry() {
  return {
    header: { stamp, frame_id: 'odom' },
    child_frame_id: 'base_link',
    pose: {
      pose: { position: vector(1, 2, 3), orientation: { x: 0, y: 0, z: 1, w: 0 } },
      covariance: new Array(36).fill(0.5),
    },
    twist: {
      twist: { linear: vector(4, 5, 6), angular: vector(7, 8, 9) },
      covariance: new Array(36).fill(1),
    },
  };
}
const floats = (data: number[]) => ({ layout: { dim: [], data_offset: 0 }, data });

test('a body: its numbers by name, and its turn about one axis', () => {
  const body = new BodyDecoder('Imu', ['angularVelocity.z', 'linearAcceleration.x', 'rotation.y']);
  for (const angle of [-3, -0.5, 0, 2, 3.1]) {
    assert.equal(decode(body, serialize('Imu', imu(angle))), DECODE.decoded);
    assert.ok(Math.abs(body.values[2] - angle) < 1e-12);
  }
  assert.deepEqual([...body.values.subarray(0, 2)], [3, 4]);
  assert.equal(decode(body, serialize('Imu', imu(0, -1))), DECODE['no orientation']);
  const unset = { ...imu(), orientation: { x: 0, y: 0, z: 0, w: 0 } };
  assert.equal(decode(body, serialize('Imu', unset)), DECODE['no orientation']);
  assert.equal(
    decode(new BodyDecoder('Imu', ['angularVelocity.x']), serialize('Imu', unset)),
    DECODE.decoded,
  );
  const nan = { ...imu(), angular_velocity: vector(0, 0, Number.NaN) };
  assert.equal(decode(body, serialize('Imu', nan)), DECODE['not finite']);

  const wanted = ['position.z', 'rotation.z', 'linearVelocity.x', 'angularVelocity.y'];
  const base = new BodyDecoder('Odometry', wanted);
  assert.equal(decode(base, serialize('Odometry', odometry())), DECODE.decoded);
  assert.deepEqual([...base.values], [3, Math.PI, 4, 8]);
});

test('arrays and switches', () => {
  const array = new Float64MultiArrayDecoder(2);
  const dim = [{ label: 'joints', size: 2, stride: 2 }];
  assert.equal(
    decode(array, serialize('Float64MultiArray', { layout: { dim, data_offset: 0 }, data: [7, 8] })),
    DECODE.decoded,
  );
  assert.deepEqual([...array.values], [7, 8]);
  assert.equal(decode(array, serialize('Float64MultiArray', floats([1, 2, 3]))), DECODE['wrong size']);
  assert.equal(decode(array, serialize('Float64MultiArray', floats([1, Infinity]))), DECODE['not finite']);

  for (const data of [true, false]) {
    const bytes = serialize('Bool', { data });
    assert.equal(readBool(viewOf(bytes), bytes.length), data ? 1 : 0);
    assert.deepEqual(boolMessage(data).bytes, bytes);
  }
  for (const bytes of [[], [0, 1, 0, 0], [0, 1, 0, 0, 2], [7, 1, 0, 0, 1]]) {
    assert.equal(readBool(viewOf(Uint8Array.from(bytes)), bytes.length), -1);
  }
});

test('what we write is what others write and read', () => {
  for (const chosen of [['a'], ['left', 'right'], names]) {
    const values = chosen.map((_, i) => 10 + i / 3);
    const write = (message: Parameters<typeof setFloat64>[0], start: number) =>
      values.forEach((value, i) => {
        setFloat64(message, start, i, value);
      });

    const array = float64MultiArray(chosen.length);
    write(array, array.data);
    assert.deepEqual(array.bytes, serialize('Float64MultiArray', floats(values)));

    const joint = jointState(chosen, ['position', 'effort']);
    write(joint, joint.position);
    write(joint, joint.effort);
    setStamp(joint, stamp.sec, stamp.nanosec);
    assert.deepEqual(
      joint.bytes,
      serialize('JointState', {
        header: { stamp, frame_id: '' },
        name: chosen,
        position: values,
        velocity: [],
        effort: values,
      }),
    );

    const command = multiDofCommand(chosen);
    write(command, command.data);
    assert.deepEqual(
      command.bytes,
      serialize('MultiDOFCommand', { dof_names: chosen, values, values_dot: [] }),
    );

    for (const field of ['position', 'velocity', 'effort'] as const) {
      const trajectory = jointTrajectory(chosen, field, 1.002);
      write(trajectory, trajectory[field]);
      const { header, joint_names, points } = deserialize('JointTrajectory', trajectory.bytes);
      assert.deepEqual(header.stamp, { sec: 0, nanosec: 0 });
      assert.deepEqual(joint_names, chosen);
      const [{ positions, velocities, accelerations, effort, time_from_start }] = points;
      const vectors = { position: positions, velocity: velocities, effort };
      for (const [name, found] of Object.entries(vectors)) {
        assert.deepEqual([...found], name === field ? values : [], `${name} of ${field}`);
      }
      assert.equal(accelerations.length, 0);
      assert.deepEqual(time_from_start, { sec: 1, nanosec: 2_000_000 });
    }
  }
});

test('decoding and writing leave no garbage', () => {
  const decoder = new JointStateDecoder(joints);
  const body = new BodyDecoder('Imu', ['rotation.y', 'angularVelocity.y']);
  const bytes = serialize('JointState', state);
  const permuted = serialize('JointState', { ...state, name: [names[2], names[0], names[1]] });
  const misnamed = serialize('JointState', { ...state, name: ['x', 'y', 'z'] });
  const turned = serialize('Imu', imu());
  const base = new BodyDecoder('Odometry', ['orientation.w', 'worldVelocity.x', 'position.z']);
  const baseView = viewOf(serialize('Odometry', odometry()));
  const views = [bytes, permuted, misnamed].map(viewOf);
  const turnedView = viewOf(turned);
  const out = jointState(names, ['position', 'velocity']);
  const round = (i: number) => {
    for (let k = 0; k < 3; k++) decoder.decode(views[k], views[k].byteLength);
    body.decode(turnedView, turnedView.byteLength);
    base.decode(baseView, baseView.byteLength);
    setStamp(out, i, i);
    for (let k = 0; k < 3; k++) setFloat64(out, out.position, k, decoder.values[k]);
  };
  assert.ok(garbage(round, 100_000, 5000) < 2);
});
