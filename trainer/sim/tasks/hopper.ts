// A leg of four links that hops forward as fast as it can without falling: Hopper, as Gymnasium's version 4 defines it.
import { defineTask } from '../defineTask.js';
import { effort, forwardSpeed, motorAction, planarObservation } from './locomotion.js';

const mjcf = `
<mujoco model="hopper">
  <compiler angle="degree"/>
  <option timestep="0.002" integrator="RK4"/>
  <default>
    <joint type="hinge" axis="0 -1 0" armature="1" damping="1" limited="true"/>
    <default class="base">
      <joint armature="0" damping="0" limited="false"/>
    </default>
    <geom type="capsule" contype="1" conaffinity="1" condim="1" margin="0.001" friction="0.9"
          solref="0.02 1" solimp="0.8 0.8 0.01"/>
    <motor gear="200" ctrllimited="true" ctrlrange="-1 1"/>
  </default>
  <worldbody>
    <geom name="floor" type="plane" size="20 20 0.125" condim="3" friction="1"/>
    <body name="torso" pos="0 0 1.25">
      <joint class="base" name="rootx" type="slide" axis="1 0 0" pos="0 0 -1.25"/>
      <joint class="base" name="rootz" type="slide" axis="0 0 1" pos="0 0 -1.25" ref="1.25"/>
      <joint class="base" name="rooty" axis="0 1 0"/>
      <geom name="torso" size="0.05 0.2"/>
      <body name="thigh" pos="0 0 -0.2">
        <joint name="thigh_joint" range="-150 0"/>
        <geom name="thigh" pos="0 0 -0.225" size="0.05 0.225"/>
        <body name="leg" pos="0 0 -0.7">
          <joint name="leg_joint" pos="0 0 0.25" range="-150 0"/>
          <geom name="leg" size="0.04 0.25"/>
          <body name="foot" pos="0 0 -0.25">
            <joint name="foot_joint" range="-45 45"/>
            <geom name="foot" pos="0.065 0 0" size="0.06 0.195" axisangle="0 1 0 -90" friction="2"/>
          </body>
        </body>
      </body>
    </body>
  </worldbody>
  <actuator>
    <motor joint="thigh_joint"/>
    <motor joint="leg_joint"/>
    <motor joint="foot_joint"/>
  </actuator>
</mujoco>`;

const driven = ['thigh_joint', 'leg_joint', 'foot_joint'];

export default defineTask({
  name: 'hopper',
  mjcf,
  frameSkip: 4,
  maxEpisodeSteps: 1000,
  observation: planarObservation(driven, 10),
  action: motorAction(driven),
  safety: {
    // Beyond these it has fallen for good.
    bounds: [
      { term: 'jointPosition rootz', range: [0.4, 2.5] },
      { term: 'jointPosition rooty', range: [-0.8, 0.8] },
    ],
  },
  reset: {
    position: { distribution: 'uniform', scale: 0.005 },
    velocity: { distribution: 'uniform', scale: 0.005 },
  },
  reward: (transition) => forwardSpeed(transition) + 1 - 1e-3 * effort(transition),
  terminated: (observation) => {
    for (let i = 0; i < observation.length; i++) if (!(Math.abs(observation[i]) < 100)) return true;
    return !(observation[0] > 0.7 && Math.abs(observation[1]) < 0.2);
  },
});
