// A pole balanced on a cart by pushing the cart: InvertedPendulum, as Gymnasium's version 4 defines it.
import { defineTask } from '../defineTask.js';

const mjcf = `
<mujoco model="inverted pendulum">
  <compiler angle="degree"/>
  <option timestep="0.02" integrator="RK4" gravity="0 0 -9.81"/>
  <size memory="1M"/>
  <default>
    <joint damping="1" limited="true"/>
    <geom type="capsule" contype="0" conaffinity="0"/>
  </default>
  <worldbody>
    <body name="cart">
      <joint name="slider" type="slide" axis="1 0 0" range="-1 1"/>
      <geom name="cart" fromto="-0.1 0 0 0.1 0 0" size="0.1"/>
      <body name="pole">
        <joint name="hinge" type="hinge" axis="0 1 0" range="-90 90"/>
        <geom name="pole" fromto="0 0 0 0.001 0 0.6" size="0.049"/>
      </body>
    </body>
  </worldbody>
  <actuator>
    <motor joint="slider" gear="100" ctrllimited="true" ctrlrange="-3 3"/>
  </actuator>
</mujoco>`;

export default defineTask({
  name: 'inverted-pendulum',
  mjcf,
  frameSkip: 2,
  maxEpisodeSteps: 1000,
  observation: [
    { kind: 'jointPosition', joint: 'slider' },
    { kind: 'jointPosition', joint: 'hinge' },
    { kind: 'jointVelocity', joint: 'slider' },
    { kind: 'jointVelocity', joint: 'hinge' },
  ],
  action: [{ kind: 'effort', joint: 'slider', limits: [-3, 3] }],
  safety: {
    joints: [
      { joint: 'slider', position: [-0.98, 0.98], velocity: 6, commandRate: 3000 },
      { joint: 'hinge', velocity: 15 },
    ],
  },
  reset: {
    position: { distribution: 'uniform', scale: 0.01 },
    velocity: { distribution: 'uniform', scale: 0.01 },
  },
  reward: () => 1,
  terminated: (observation) => {
    for (let i = 0; i < observation.length; i++) if (!Number.isFinite(observation[i])) return true;
    return Math.abs(observation[1]) > 0.2;
  },
});
