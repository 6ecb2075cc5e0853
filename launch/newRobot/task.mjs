// NAME: the pole that hangs from the cart is to be swung up and kept there, by telling the cart where to be.
import { defineTask } from 'farsight';

export default defineTask({
  name: 'NAME',
  // Beside this file, with the meshes and textures that it names.
  mjcf: 'robot.xml',
  // Physics steps of 5 ms in a step of the policy: 20 Hz.
  frameSkip: 10,
  // 10 s; a cut here is not a termination.
  maxEpisodeSteps: 200,
  // What the policy sees, by the joints' names, which are those of /joint_states on the robot. rad, m, rad/s, m/s.
  observation: [
    { kind: 'jointPosition', joint: 'cart_joint' },
    { kind: 'jointPosition', joint: 'pole_joint' },
    { kind: 'jointVelocity', joint: 'cart_joint' },
    { kind: 'jointVelocity', joint: 'pole_joint', scale: 0.2 },
  ],
  // What it does: the servo's target, m, within the actuator's ctrlrange; the cart swings some centimetres beyond it.
  action: [{ kind: 'position', joint: 'cart_joint', limits: [-0.8, 0.8] }],
  // What never happens, in training and on the robot. What is left out is derived from training (farsight inspect).
  // A limit of change that most actions meet makes learning hard: plans do not know the last command.
  safety: {
    joints: [{ joint: 'cart_joint', position: [-0.95, 0.95], commandRate: 40 }],
  },
  // Noise on the model's start state.
  reset: {
    position: { distribution: 'uniform', scale: 0.05 },
    velocity: { distribution: 'uniform', scale: 0.05 },
  },
  // Of one step: up to 1 with the pole upright in the middle of the rail.
  reward: ({ next }) =>
    (1 - Math.cos(next.position('pole_joint'))) / 2 - 0.1 * next.position('cart_joint') ** 2,
  // Asked of imagined observations too: a plain function of its argument, which is ordered and scaled as above.
  terminated: ([, pole]) => Math.abs(pole) > 2 * Math.PI,
});
