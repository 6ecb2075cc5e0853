// What a controller's state says of a link in which nothing is wrong.
import { EmergencyStop } from '../../controller/emergencyStop.js';
import type { ManagementState } from '../../controller/ros/management/messages.js';

export const healthyLink = (): Pick<ManagementState, 'sensors' | 'commands' | 'stop' | 'conflicts'> => ({
  sensors: [
    {
      topic: '/joint_states',
      age: 0.002,
      arrivalAge: 0.001,
      behind: 'knee',
      received: 1000,
      others: 0,
      refused: {},
      contested: { now: false, joint: null, messages: 0 },
    },
  ],
  commands: [{ topic: '/commands', sent: 900, failed: 0, failing: false, listeners: 1 }],
  stop: new EmergencyStop().state(),
  conflicts: [],
});
