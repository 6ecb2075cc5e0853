// A running robot with a front and a back leg: HalfCheetah, as Gymnasium's version 4 defines it.
import { defineTask } from '../defineTask.js';
import { effort, forwardSpeed, motorAction, planarObservation } from './locomotion.js';

const mjcf = `
<mujoco model="half-cheetah">
  <compiler angle="radian" settotalmass="14"/>
  <option timestep="0.01"/>
  <default>
    <joint type="hinge" axis="0 1 0" armature="0.1" limited="true" solreflimit="0.02 1" solimplimit="0 0.8 0.03"/>
    <default class="base">
      <joint armature="0" limited="false"/>
    </default>
    <geom type="capsule" contype="1" conaffinity="0" condim="3" friction="0.4 0.1 0.1" solref="0.02 1"
          solimp="0 0.8 0.01"/>
    <motor ctrllimited="true" ctrlrange="-1 1"/>
  </default>
  <worldbody>
    <geom name="floor" type="plane" size="40 40 40" conaffinity="1"/>
    <body name="torso" pos="0 0 0.7">
      <joint class="base" name="rootx" type="slide" axis="1 0 0"/>
      <joint class="base" name="rootz" type="slide" axis="0 0 1"/>
      <joint class="base" name="rooty"/>
      <geom name="torso" fromto="-0.5 0 0 0.5 0 0" size="0.046"/>
      <geom name="head" pos="0.6 0 0.1" axisangle="0 1 0 0.87" size="0.046 0.15"/>
      <body name="bthigh" pos="-0.5 0 0">
        <joint name="bthigh" range="-0.52 1.05" stiffness="240" damping="6"/>
        <geom name="bthigh" pos="0.1 0 -0.13" axisangle="0 1 0 -3.8" size="0.046 0.145"/>
        <body name="bshin" pos="0.16 0 -0.25">
          <joint name="bshin" range="-0.785 0.785" stiffness="180" damping="4.5"/>
          <geom name="bshin" pos="-0.14 0 -0.07" axisangle="0 1 0 -2.03" size="0.046 0.15"/>
          <body name="bfoot" pos="-0.28 0 -0.14">
            <joint name="bfoot" range="-0.4 0.785" stiffness="120" damping="3"/>
            <geom name="bfoot" pos="0.03 0 -0.097" axisangle="0 1 0 -0.27" size="0.046 0.094"/>
          </body>
        </body>
      </body>
      <body name="fthigh" pos="0.5 0 0">
        <joint name="fthigh" range="-1 0.7" stiffness="180" damping="4.5"/>
        <geom name="fthigh" pos="-0.07 0 -0.12" axisangle="0 1 0 0.52" size="0.046 0.133"/>
        <body name="fshin" pos="-0.14 0 -0.24">
          <joint name="fshin" range="-1.2 0.87" stiffness="120" damping="3"/>
          <geom name="fshin" pos="0.065 0 -0.09" axisangle="0 1 0 -0.6" size="0.046 0.106"/>
          <body name="ffoot" pos="0.13 0 -0.18">
            <joint name="ffoot" range="-0.5 0.5" stiffness="60" damping="1.5"/>
            <geom name="ffoot" pos="0.045 0 -0.07" axisangle="0 1 0 -0.6" size="0.046 0.07"/>
          </body>
        </body>
      </body>
    </body>
  </worldbody>
  <actuator>
    <motor joint="bthigh" gear="120"/>
    <motor joint="bshin" gear="90"/>
    <motor joint="bfoot" gear="60"/>
    <motor joint="fthigh" gear="120"/>
    <motor joint="fshin" gear="60"/>
    <motor joint="ffoot" gear="30"/>
  </actuator>
</mujoco>`;

const driven = ['bthigh', 'bshin', 'bfoot', 'fthigh', 'fshin', 'ffoot'];

export default defineTask({
  name: 'half-cheetah',
  mjcf,
  frameSkip: 5,
  maxEpisodeSteps: 1000,
  observation: planarObservation(driven),
  action: motorAction(driven),
  safety: {},
  reset: {
    position: { distribution: 'uniform', scale: 0.1 },
    velocity: { distribution: 'normal', scale: 0.1 },
  },
  reward: (transition) => forwardSpeed(transition) - 0.1 * effort(transition),
  terminated: () => false,
});
