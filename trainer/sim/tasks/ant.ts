// Four legs of two links each that walk forward in space: Ant, as Gymnasium's version 4 defines it, without contact forces.
import { defineTask } from '../defineTask.js';
import { anyOrientation, effort, floatingObservation, floatingSpeed, motorAction } from './locomotion.js';

/** Legs in the order of their joints: where they point to, which way the knee turns and how far, degrees. */
const LEGS = [
  { at: [1, 1], ankle: '-1 1 0', range: '30 70' },
  { at: [-1, 1], ankle: '1 1 0', range: '-70 -30' },
  { at: [-1, -1], ankle: '-1 1 0', range: '-70 -30' },
  { at: [1, -1], ankle: '1 1 0', range: '30 70' },
];

const leg = ({ at: [x, y], ankle, range }: (typeof LEGS)[number], i: number) => {
  const along = (length: number) => `${x * length} ${y * length} 0`;
  const link = (length: number) => `<geom fromto="0 0 0 ${along(length)}" size="0.08"/>`;
  return `
      <body>
        ${link(0.2)}
        <body pos="${along(0.2)}">
          <joint name="hip_${i + 1}" axis="0 0 1" range="-30 30"/>
          ${link(0.2)}
          <body pos="${along(0.2)}">
            <joint name="ankle_${i + 1}" axis="${ankle}" range="${range}"/>
            ${link(0.4)}
          </body>
        </body>
      </body>`;
};

/** In the order of the motors. */
const driven = [4, 1, 2, 3].flatMap((i) => [`hip_${i}`, `ankle_${i}`]);
const hinges = [1, 2, 3, 4].flatMap((i) => [`hip_${i}`, `ankle_${i}`]);

const mjcf = `
<mujoco model="ant">
  <compiler angle="degree" inertiafromgeom="true"/>
  <option timestep="0.01" integrator="RK4"/>
  <default>
    <joint type="hinge" armature="1" damping="1" limited="true"/>
    <geom type="capsule" contype="1" conaffinity="0" condim="3" density="5" friction="1 0.5 0.5" margin="0.01"/>
    <motor gear="150" ctrllimited="true" ctrlrange="-1 1"/>
  </default>
  <worldbody>
    <geom name="floor" type="plane" size="40 40 40" conaffinity="1"/>
    <body name="torso" pos="0 0 0.75">
      <joint name="root" type="free" armature="0" damping="0" limited="false" margin="0.01"/>
      <geom name="torso" type="sphere" size="0.25"/>${LEGS.map(leg).join('')}
    </body>
  </worldbody>
  <actuator>
    ${driven.map((joint) => `<motor joint="${joint}"/>`).join('\n    ')}
  </actuator>
</mujoco>`;

export default defineTask({
  name: 'ant',
  mjcf,
  frameSkip: 5,
  maxEpisodeSteps: 1000,
  observation: floatingObservation(hinges),
  action: motorAction(driven),
  safety: {
    joints: anyOrientation,
    // Beyond these it has fallen for good, or flies.
    bounds: [{ term: 'jointPosition root.z', range: [0.1, 2] }],
  },
  reset: {
    position: { distribution: 'uniform', scale: 0.1 },
    velocity: { distribution: 'normal', scale: 0.1 },
  },
  reward: (transition) =>
    floatingSpeed(transition, (state) => state.body('torso')[0]) + 1 - 0.5 * effort(transition),
  terminated: (observation) => {
    for (let i = 0; i < observation.length; i++) if (!Number.isFinite(observation[i])) return true;
    return !(observation[0] >= 0.2 && observation[0] <= 1);
  },
});
