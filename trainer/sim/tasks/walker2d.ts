// Two legs in the plane that walk forward as fast as they can without falling: Walker2d, as Gymnasium's version 4 has it.
import { defineTask } from '../defineTask.js';
import { effort, forwardSpeed, motorAction, planarObservation } from './locomotion.js';

/** A leg; `suffix` ends the names of its bodies and joints. */
const leg = (suffix: string, footFriction: number) => `
      <body name="thigh${suffix}" pos="0 0 -0.2">
        <joint name="thigh${suffix}_joint" range="-150 0"/>
        <geom name="thigh${suffix}" pos="0 0 -0.225" size="0.05 0.225"/>
        <body name="leg${suffix}" pos="0 0 -0.7">
          <joint name="leg${suffix}_joint" pos="0 0 0.25" range="-150 0"/>
          <geom name="leg${suffix}" size="0.04 0.25"/>
          <body name="foot${suffix}" pos="0 0 -0.25">
            <joint name="foot${suffix}_joint" range="-45 45"/>
            <geom name="foot${suffix}" pos="0.1 0 0" size="0.06 0.1" axisangle="0 1 0 -90"
                  friction="${footFriction} 0.1 0.1"/>
          </body>
        </body>
      </body>`;

const driven = ['thigh', 'leg', 'foot', 'thigh_left', 'leg_left', 'foot_left'].map((name) => `${name}_joint`);

const mjcf = `
<mujoco model="walker2d">
  <compiler angle="degree"/>
  <option timestep="0.002" integrator="RK4"/>
  <default>
    <joint type="hinge" axis="0 -1 0" armature="0.01" damping="0.1" limited="true"/>
    <default class="base">
      <joint armature="0" damping="0" limited="false"/>
    </default>
    <geom type="capsule" contype="1" conaffinity="0" condim="3" density="1000" friction="0.9 0.1 0.1"/>
    <motor gear="100" ctrllimited="true" ctrlrange="-1 1"/>
  </default>
  <worldbody>
    <geom name="floor" type="plane" size="40 40 40" conaffinity="1" friction="0.7 0.1 0.1"/>
    <body name="torso" pos="0 0 1.25">
      <joint class="base" name="rootx" type="slide" axis="1 0 0" pos="0 0 -1.25"/>
      <joint class="base" name="rootz" type="slide" axis="0 0 1" pos="0 0 -1.25" ref="1.25"/>
      <joint class="base" name="rooty" axis="0 1 0"/>
      <geom name="torso" size="0.05 0.2"/>${leg('', 0.9)}${leg('_left', 1.9)}
    </body>
  </worldbody>
  <actuator>
    ${driven.map((joint) => `<motor joint="${joint}"/>`).join('\n    ')}
  </actuator>
</mujoco>`;

export default defineTask({
  name: 'walker2d',
  mjcf,
  frameSkip: 4,
  maxEpisodeSteps: 1000,
  observation: planarObservation(driven, 10),
  action: motorAction(driven),
  safety: {
    // Beyond these it has fallen for good.
    bounds: [
      { term: 'jointPosition rootz', range: [0.5, 2.5] },
      { term: 'jointPosition rooty', range: [-1.3, 1.3] },
    ],
  },
  reset: {
    position: { distribution: 'uniform', scale: 0.005 },
    velocity: { distribution: 'uniform', scale: 0.005 },
  },
  reward: (transition) => forwardSpeed(transition) + 1 - 1e-3 * effort(transition),
  terminated: ([z, angle]) => !(z > 0.8 && z < 2 && Math.abs(angle) < 1),
});
