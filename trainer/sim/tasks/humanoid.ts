// A body with legs, arms and a waist that walks forward in space: Humanoid, as Gymnasium's version 4 defines it, with the
// first 45 of its observations (positions and velocities), as model-based methods use it.
import { defineTask } from '../defineTask.js';
import { anyOrientation, effort, floatingObservation, floatingSpeed, motorAction } from './locomotion.js';

/** A hinge; `rest` holds what differs from the default. */
const hinge = (name: string, axis: string, range: string, armature: number, rest = '') =>
  `<joint name="${name}" axis="${axis}" range="${range}" armature="${armature}" ${rest}/>`;
const capsule = (fromto: string, size: number) => `<geom type="capsule" fromto="${fromto}" size="${size}"/>`;
const sphere = (at: string, size: number) => `<geom type="sphere" pos="${at}" size="${size}"/>`;

/** Of the hips and the waist. */
const strong = (stiffness: number) => `damping="5" stiffness="${stiffness}"`;

/** `left` is 1 or -1; the two differ in the axes of their hips and in the knee's stiffness. */
const leg = (side: string, left: number, hipArmature: number, kneeStiffness: number) => `
          <body pos="0 ${0.1 * left} -0.04">
            ${hinge(`${side}_hip_x`, `${-left} 0 0`, '-25 5', 0.01, strong(10))}
            ${hinge(`${side}_hip_z`, `0 0 ${-left}`, '-60 35', 0.01, strong(10))}
            ${hinge(`${side}_hip_y`, '0 1 0', '-110 20', hipArmature, strong(20))}
            ${capsule(`0 0 0 0 ${-0.01 * left} -0.34`, 0.06)}
            <body pos="0 ${-0.01 * left} -0.403">
              ${hinge(`${side}_knee`, '0 -1 0', '-160 -2', 0.006, `pos="0 0 0.02" stiffness="${kneeStiffness}"`)}
              ${capsule('0 0 0 0 0 -0.3', 0.049)}
              <body pos="0 0 -0.45">${sphere('0 0 0.1', 0.075)}</body>
            </body>
          </body>`;

const arm = (side: string, left: number, shoulder: string) => `
      <body pos="0 ${0.17 * left} 0.06">
        ${hinge(`${side}_shoulder1`, `2 ${-left} 1`, shoulder, 0.0068, 'stiffness="1"')}
        ${hinge(`${side}_shoulder2`, `0 ${left} 1`, shoulder, 0.0051, 'stiffness="1"')}
        ${capsule(`0 0 0 0.16 ${0.16 * left} -0.16`, 0.04)}
        <body pos="0.18 ${0.18 * left} -0.18">
          ${hinge(`${side}_elbow`, `0 -1 ${-left}`, '-90 50', 0.0028)}
          ${capsule(`0.01 ${-0.01 * left} 0.01 0.17 ${-0.17 * left} 0.17`, 0.031)}
          ${sphere(`0.18 ${-0.18 * left} 0.18`, 0.04)}
        </body>
      </body>`;

/** Joint and gear of each motor. */
const motors: [joint: string, gear: number][] = [
  ['abdomen_y', 100],
  ['abdomen_z', 100],
  ['abdomen_x', 100],
  ...['right', 'left'].flatMap((side): [string, number][] => [
    [`${side}_hip_x`, 100],
    [`${side}_hip_z`, 100],
    [`${side}_hip_y`, 300],
    [`${side}_knee`, 200],
  ]),
  ...['right', 'left'].flatMap((side): [string, number][] => [
    [`${side}_shoulder1`, 25],
    [`${side}_shoulder2`, 25],
    [`${side}_elbow`, 25],
  ]),
];
const driven = motors.map(([joint]) => joint);
const hinges = ['abdomen_z', 'abdomen_y', ...driven.slice(2)];

const mjcf = `
<mujoco model="humanoid">
  <compiler angle="degree" inertiafromgeom="true"/>
  <option timestep="0.003" integrator="RK4" solver="PGS" iterations="50"/>
  <default>
    <joint type="hinge" armature="1" damping="1" limited="true"/>
    <geom contype="1" conaffinity="1" condim="1" margin="0.001"/>
    <motor ctrllimited="true" ctrlrange="-0.4 0.4"/>
  </default>
  <worldbody>
    <geom name="floor" type="plane" size="20 20 0.125" condim="3" friction="1 0.1 0.1"/>
    <body name="torso" pos="0 0 1.4">
      <joint name="root" type="free" armature="0" damping="0" limited="false"/>
      ${capsule('0 -0.07 0 0 0.07 0', 0.07)}
      ${sphere('0 0 0.19', 0.09)}
      ${capsule('-0.01 -0.06 -0.12 -0.01 0.06 -0.12', 0.06)}
      <body pos="-0.01 0 -0.26" quat="1 0 -0.002 0">
        ${capsule('0 -0.06 0 0 0.06 0', 0.06)}
        ${hinge('abdomen_z', '0 0 1', '-45 45', 0.02, `pos="0 0 0.065" ${strong(20)}`)}
        ${hinge('abdomen_y', '0 1 0', '-75 30', 0.02, `pos="0 0 0.065" ${strong(10)}`)}
        <body pos="0 0 -0.165" quat="1 0 -0.002 0">
          ${hinge('abdomen_x', '1 0 0', '-35 35', 0.02, `pos="0 0 0.1" ${strong(10)}`)}
          ${capsule('-0.02 -0.07 0 -0.02 0.07 0', 0.09)}${leg('right', -1, 0.008, 0)}${leg('left', 1, 0.01, 1)}
        </body>
      </body>${arm('right', -1, '-85 60')}${arm('left', 1, '-60 85')}
    </body>
  </worldbody>
  <actuator>
    ${motors.map(([joint, gear]) => `<motor joint="${joint}" gear="${gear}"/>`).join('\n    ')}
  </actuator>
</mujoco>`;

export default defineTask({
  name: 'humanoid',
  mjcf,
  frameSkip: 5,
  maxEpisodeSteps: 1000,
  observation: floatingObservation(hinges),
  action: motorAction(driven, 0.4),
  safety: {
    joints: anyOrientation,
    // Beyond these it has fallen for good, or flies.
    bounds: [{ term: 'jointPosition root.z', range: [0.7, 2.5] }],
  },
  reset: {
    position: { distribution: 'uniform', scale: 0.01 },
    velocity: { distribution: 'uniform', scale: 0.01 },
  },
  reward: (transition) =>
    1.25 * floatingSpeed(transition, (state) => state.centreOfMass[0]) + 5 - 0.1 * effort(transition),
  terminated: ([z]) => !(z > 1 && z < 2),
});
