// A controller's own first configuration and activation on ROS 2, for a robot whose drivers may be slow to start.
import { FarsightError } from '../contract/errors.js';
import { isLatched, type LoopView, statusOf } from '../contract/loop.js';
import { say } from './command.js';
import { pause } from './pause.js';
import { RobotError } from './servedPolicy.js';

/** Seconds between two attempts to activate a robot that is not ready, and in which a timed run must have begun. */
const AGAIN = 1;
const LONGEST_START = 60;

export interface Starting {
  configure(): Promise<string>;
  activate(): Promise<string>;
  /** The loop, once one is configured. */
  loop(): LoopView | undefined;
  /** The run ends by itself, and so nobody may be there to rearm it. */
  timed: boolean;
  /** Ended when a person takes the first configuration and activation into their own hands. */
  signal: AbortSignal;
}

/** Configures and activates, and waits for a robot that is not ready. A latched fault waits for a person. */
export async function autostart({ configure, activate, loop, timed, signal }: Starting): Promise<void> {
  const end = performance.now() + 1000 * (timed ? LONGEST_START : Infinity);
  let said = '';
  while (!signal.aborted) {
    try {
      if (!loop()) say(await configure());
      say(await activate());
      return;
    } catch (error) {
      if (signal.aborted && error instanceof FarsightError) return say(error.message);
      const view = loop();
      const waits = view !== undefined || error instanceof RobotError;
      if (!(error instanceof FarsightError) || !waits || performance.now() > end) throw error;
      if (view && isLatched(statusOf(view).mode)) {
        if (timed) throw error;
        return say(error.message);
      }
      if (error.message !== said) say(`${error.message}; waiting and trying again`);
      said = error.message;
      await pause(AGAIN, signal);
    }
  }
}
