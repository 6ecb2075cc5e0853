// The ROS domain of a test's process: apart from whatever else runs ROS on this computer, and from the tests beside it.

/** Below 102, as `farsight doctor` wants it: the ports of the others may be taken. */
export const rosDomain = String(1 + (process.pid % 101));
