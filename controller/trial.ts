// Tries a policy on a running loop: checked, in its shadow, in charge on trial, and back by itself when it does worse.
import { Worker } from 'node:worker_threads';
import { FarsightError } from '../contract/errors.js';
import type { PolicyFile } from '../contract/policyFile.js';
import { interfaceDifference } from '../contract/terms.js';
import type { LoopHandle } from './controller.js';
import { requestedSlot, SLOT, SLOTS, slotRequest } from './policySlots.js';
import type { TrialData, TrialMessage, TrialRequest, TrialTimes } from './trialWorker.js';

export type TrialOutcome = Extract<TrialMessage, { kind: 'refused' | 'rolled back' | 'accepted' }>;

export interface TrialOptions extends TrialTimes {
  loop: LoopHandle;
  policy: PolicyFile;
  /** Names the policy in errors. */
  name: string;
  /** Told how the trial goes; the candidate does not act before a promise for `shadowed` resolves. */
  on(message: Exclude<TrialMessage, TrialOutcome>): unknown;
  signal: AbortSignal;
}

/**
 * Resolves with what the trial came to. A candidate that cannot be served by the loop is refused. Rejects with the signal's
 * reason when that comes first: then the policy before acts again, and with a `FarsightError` when the thread fails.
 */
export async function tryPolicy(options: TrialOptions): Promise<TrialOutcome> {
  const { loop, policy, name, on, signal, shadow, blend, health } = options;
  const reason = unservable(loop, policy);
  if (reason !== undefined) return { kind: 'refused', reason };
  signal.throwIfAborted();
  const { words } = loop.slots;
  // As asked for: a loop that is stopped has yet to take it up.
  const fallback = requestedSlot(Atomics.load(words, SLOT.request));
  const workerData: TrialData = {
    ...{ name, model: policy.bytes, sha256: policy.sha256, manifest: policy.manifest, shadow, blend, health },
    rateHz: loop.view.rateHz,
    scoreLimit: loop.manifest.safety.outOfDistribution?.limit,
    inferenceUs: loop.view.histograms.infer.quantile(0.5) / 1000,
    trace: loop.trace,
    slots: loop.slots,
    // Slot 0 is the loop's own for good.
    slot: fallback === SLOTS - 1 ? 1 : fallback + 1,
    fallback,
  };
  const worker = new Worker(new URL('./trialWorker.js', import.meta.url), { workerData });
  // Never terminated: a thread that is ended inside of the runtime takes the process, and the robot, with it.
  const ended = new Promise((resolve) => worker.once('exit', resolve));
  const abandon = () => worker.postMessage('abandon' satisfies TrialRequest);
  signal.addEventListener('abort', abandon);
  let trusted = false;
  try {
    const outcome = await new Promise<TrialOutcome>((resolve, reject) => {
      worker.once('error', (error) =>
        reject(new FarsightError(`the trial's thread failed: ${error.message}`)),
      );
      worker.once('exit', () =>
        reject(signal.reason ?? new FarsightError("the trial's thread ended too early")),
      );
      worker.on('message', (message: TrialMessage) => {
        if (message.kind === 'refused' || message.kind === 'rolled back' || message.kind === 'accepted') {
          resolve(message);
        } else {
          const told = Promise.resolve(on(message));
          told.then(
            () => message.kind === 'shadowed' && worker.postMessage('act' satisfies TrialRequest),
            reject,
          );
        }
      });
    });
    trusted = outcome.kind === 'accepted';
    return outcome;
  } finally {
    signal.removeEventListener('abort', abandon);
    abandon();
    await ended;
    // Whatever ended the trial, a policy on trial does not outlive it.
    if (!trusted) Atomics.store(words, SLOT.request, slotRequest({ slot: fallback, blend: 0 }));
  }
}

/** Why the loop that runs cannot serve a policy; undefined when it can. */
export function unservable(
  { manifest }: LoopHandle,
  { manifest: candidate }: PolicyFile,
): string | undefined {
  const difference = interfaceDifference(candidate, manifest);
  if (difference !== undefined) return difference;
  // Those that the export derived from training may differ: the loop keeps those that it was started with.
  const derived = new Set([...(manifest.derivedLimits ?? []), ...(candidate.derivedLimits ?? [])]);
  const stated = ({ safety }: typeof manifest) => {
    const { joints, outOfDistribution, limiting, ...rest } = safety;
    return JSON.stringify({
      ...rest,
      ...(derived.has('outOfDistribution') ? {} : { outOfDistribution }),
      ...(derived.has('limiting') ? {} : { limiting }),
      joints: joints
        .map(({ joint, ...limits }) => [
          joint,
          Object.entries(limits)
            .filter(([limit]) => !derived.has(`${joint} ${limit}`))
            .sort(([a], [b]) => a.localeCompare(b)),
        ])
        .filter(([, limits]) => limits.length > 0)
        .sort(),
    });
  };
  if (stated(candidate) !== stated(manifest))
    return 'its safety limits differ from those of the policy that the controller was started with';
  return undefined;
}
