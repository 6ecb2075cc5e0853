// The policies that the loop can run: the one that it was started with and two that others put beside it while it ticks.
import { type Address, API, type Bare, runtime } from '../contract/onnxRuntime.js';
import { INPUT, OUTPUT, type PolicyFile } from '../contract/policyFile.js';
import { PolicyList } from '../contract/policyList.js';
import { BoundSession } from './onnxRuntime.js';
import type { Policy } from './policy.js';

/** Slots; 0 is the policy that the loop was started with. */
export const SLOTS = 3;

/** Words between the loop and whoever changes its policy; Int32, with Atomics. */
export const SLOT = {
  /** A `slotRequest`, taken up with the policy's next step. */
  request: 0,
  /** Written by the loop: the slot that acts, or that it goes over to, and how many steps of the way are done. */
  active: 1,
  blended: 2,
  /** Written by the loop: times that the fallback had to answer. */
  failed: 3,
  /** The number of each slot's policy in the list. */
  numbers: 4,
  length: 4 + SLOTS,
} as const;

const NO_SLOT = 15;

export interface SlotRequest {
  /** The slot that is to act. */
  slot: number;
  /** Steps of the policy in which the loop goes over to it; 0: at once. */
  blend: number;
  /** The slot that answers in the same step when this one's answer is not finite, and acts from then on; none if left out. */
  fallback?: number;
}

/** A request as one word, so that the loop never sees half of one. */
export function slotRequest({ slot, blend, fallback = NO_SLOT }: SlotRequest): number {
  return slot | (fallback << 4) | (Math.min(blend, 2 ** 22) << 8);
}

/** The slot that a request puts in charge, whether the loop has taken it up or not. */
export function requestedSlot(request: number): number {
  return request & NO_SLOT;
}

/** What the threads share: words, the slots' observations `[n]` and actions `[m]`, and where their sessions are. */
export interface SlotBuffers {
  words: Int32Array;
  observations: Float32Array[];
  actions: Float32Array[];
  /** Of each slot, the addresses of session and binding. */
  addresses: BigUint64Array;
  /** Of the loop's `PolicyList`. */
  policies: SharedArrayBuffer;
}

/** For a loop whose list has the policy that it starts with. */
export function slotBuffers(observations: number, actions: number, policies: PolicyList): SlotBuffers {
  const vectors = (length: number) =>
    Array.from({ length: SLOTS }, () => new Float32Array(new SharedArrayBuffer(4 * length)));
  return {
    words: resetWords(new Int32Array(new SharedArrayBuffer(4 * SLOT.length))),
    observations: vectors(observations),
    actions: vectors(actions),
    addresses: new BigUint64Array(new SharedArrayBuffer(16 * SLOTS)),
    policies: policies.buffer,
  };
}

function resetWords(words: Int32Array): Int32Array {
  words.fill(0);
  words[SLOT.request] = slotRequest({ slot: 0, blend: 0 });
  return words;
}

/** One slot, in the loop's thread. */
class Slot {
  session: Address = null;
  binding: Address = null;
  constructor(
    readonly observation: Float32Array,
    readonly action: Float32Array,
  ) {}
}

/**
 * What the loop takes for its policy: `run` computes `action` `[m]` from `observation` `[n]` by the slot that is active.
 * A change goes over as a convex combination of both policies' answers to the same observation, so that one that holds
 * the robot up goes on doing so; each answer is computed anew in every step. Never waits, loads or allocates, but for two
 * addresses when a change begins.
 */
export class PolicySlots {
  readonly observation: Float32Array;
  readonly action: Float32Array;
  /** Of the policy that `run` has asked last, in the loop's list: the one that acts, or that the loop goes over to. */
  number = 0;
  readonly #words: Int32Array;
  readonly #addresses: BigUint64Array;
  readonly #slots: Slot[];
  readonly #bare: Bare;
  readonly #check: (status: Address) => void;
  #request = 0;
  #active = 0;
  #before = 0;
  #fallback = NO_SLOT;
  #blend = 0;
  #blended = 0;

  /** `policy` is slot 0. */
  constructor(policy: Policy, buffers: SlotBuffers) {
    this.observation = policy.observation;
    this.action = new Float32Array(policy.action.length);
    this.#words = buffers.words;
    this.#addresses = buffers.addresses;
    this.#slots = buffers.observations.map((observation, i) =>
      i === 0 ? new Slot(policy.observation, policy.action) : new Slot(observation, buffers.actions[i]),
    );
    [buffers.addresses[0], buffers.addresses[1]] = policy.session.addresses;
    const { bare, check } = policy.session;
    this.#bare = bare;
    this.#check = check;
    this.#load(0);
  }

  /** Runs the slot that is asked for. Throws as the runtime does, when no other slot answers in its place. */
  run(): void {
    const request = Atomics.load(this.#words, SLOT.request);
    if (request !== this.#request) this.#take(request);
    if (this.#blended < this.#blend || this.#fallback !== NO_SLOT) {
      this.#runOnTrial();
      return;
    }
    this.#infer(this.#active);
    copy(this.#slots[this.#active].action, this.action);
  }

  #runOnTrial(): void {
    const goesOver = this.#blended < this.#blend;
    if (goesOver) {
      this.#blended++;
      Atomics.store(this.#words, SLOT.blended, this.#blended);
    }
    if (this.#fallback === NO_SLOT) this.#infer(this.#active);
    else if (!this.#answers(this.#active)) this.#fall();
    const to = this.#slots[this.#active].action;
    if (goesOver && this.#blended < this.#blend && this.#answers(this.#before)) {
      const from = this.#slots[this.#before].action;
      const share = this.#blended / this.#blend;
      for (let i = 0; i < to.length; i++) this.action[i] = from[i] + (to[i] - from[i]) * share;
    } else copy(to, this.action);
  }

  /** Back to the first state, after a life that was only rehearsed. */
  reset(): void {
    this.#take(resetWords(this.#words)[SLOT.request]);
    resetWords(this.#words);
    // What was rehearsed in another slot is nobody's to release.
    this.#addresses.fill(0n, 2);
  }

  #take(request: number): void {
    this.#request = request;
    this.#fallback = (request >> 4) & NO_SLOT;
    const slot = requestedSlot(request);
    this.#load(slot);
    if (slot === this.#active) return;
    this.#before = this.#active;
    this.#active = slot;
    this.#blend = request >> 8;
    this.#blended = 0;
    Atomics.store(this.#words, SLOT.blended, 0);
    Atomics.store(this.#words, SLOT.active, slot);
  }

  /** The active slot's answer cannot be used: the fallback acts, unless something else is asked for meanwhile. */
  #fall(): void {
    const words = this.#words;
    const before = this.#request;
    const request = this.#fallback | (NO_SLOT << 4);
    this.#take(request);
    Atomics.compareExchange(words, SLOT.request, before, request);
    Atomics.add(words, SLOT.failed, 1);
    this.#infer(this.#active);
  }

  #load(slot: number): void {
    this.#slots[slot].session = this.#addresses[2 * slot];
    this.#slots[slot].binding = this.#addresses[2 * slot + 1];
    this.number = Atomics.load(this.#words, SLOT.numbers + slot);
  }

  /** Whether a slot has a finite answer to the observation. */
  #answers(slot: number): boolean {
    try {
      this.#infer(slot);
    } catch {
      return false;
    }
    const { action } = this.#slots[slot];
    for (let i = 0; i < action.length; i++) if (!Number.isFinite(action[i])) return false;
    return true;
  }

  #infer(slot: number): void {
    const { session, binding, observation } = this.#slots[slot];
    if (slot !== 0) copy(this.observation, observation);
    const status = this.#bare(session, null, binding);
    if (status) this.#check(status);
  }
}

function copy(from: Float32Array, to: Float32Array): void {
  for (let i = 0; i < to.length; i++) to[i] = from[i];
}

/**
 * Puts a policy into a slot that neither acts nor is gone over from, and into the loop's list, from any thread; what was in
 * the slot before is released.
 */
export function fillSlot(
  buffers: SlotBuffers,
  slot: number,
  { bytes, sha256 }: Pick<PolicyFile, 'bytes' | 'sha256'>,
): void {
  const [before, binding] = buffers.addresses.subarray(2 * slot);
  if (before !== 0n) {
    runtime().release(API.ReleaseIoBinding, binding);
    runtime().release(API.ReleaseSession, before);
  }
  const input = { name: INPUT, values: buffers.observations[slot] };
  const session = new BoundSession(bytes, input, { name: OUTPUT, values: buffers.actions[slot] });
  session.run();
  buffers.addresses.set(session.addresses, 2 * slot);
  Atomics.store(buffers.words, SLOT.numbers + slot, new PolicyList(buffers.policies).add(sha256));
}
