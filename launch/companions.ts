// What runs beside a loop, stopped after it: the recorder, telemetry, and whatever else is added.
import { randomUUID } from 'node:crypto';
import type { BrokerOptions } from '../bridge/connection.js';
import type { LoopTelemetry } from '../bridge/publisher.js';
import { desiredTopic } from '../contract/delivery.js';
import type { PolicyFile } from '../contract/policyFile.js';
import type { LoopHandle } from '../controller/controller.js';
import type { Guard } from '../controller/guard.js';
import type { Recorder } from '../controller/recorder.js';
import { say } from './command.js';
import type { Delivery, DeliveryParts, OpenDelivery } from './delivery.js';

export interface CompanionOptions {
  policy: PolicyFile;
  /** What the robot is called in recordings and telemetry. */
  name: string;
  /** Directory to record to. */
  record?: string;
  /** Seconds of a recording's file at most; the recorder's own when left out. */
  segment?: number;
  /** Where telemetry goes. */
  mqtt?: BrokerOptions;
  /** What listens for stops. */
  guard?: Guard;
  /** Where other policies are delivered from. */
  deliver?: OpenDelivery;
  /** As `DeliveryParts` has it. */
  adapt?: DeliveryParts['adapt'];
}

export class Companions {
  /** The recording's directory, once the recorder has stopped. */
  recording: string | undefined;
  readonly #running: { stop(): Promise<unknown> }[] = [];

  /** Starts what is asked for. What runs when one fails is stopped by `stop`. */
  async start(loop: LoopHandle, options: CompanionOptions): Promise<void> {
    const { policy, name, record, segment, mqtt, guard, deliver, adapt } = options;
    const { rateHz } = loop.view;
    let delivery: Delivery | undefined;
    let telemetry: LoopTelemetry | undefined;
    // One name for this run of the loop, in what it records and in what it tells.
    const boot = randomUUID();
    let recorder: Recorder | undefined;
    if (record) {
      const { SEGMENT, startRecorder } = await import('../controller/recorder.js');
      const started = await startRecorder({
        directory: record,
        policy,
        policies: loop.view.policies,
        rateHz,
        trace: loop.trace,
        robot: name,
        boot,
        ...(segment !== undefined && { segment: { ...SEGMENT, seconds: segment } }),
      });
      recorder = started;
      this.add({
        stop: async () => {
          const { path, rows, transitions, lost, blackBoxes } = await started.stop();
          if (blackBoxes.length > 0) say(`black box: ${blackBoxes.join(', ')}`);
          this.recording = path;
          say(
            `recorded ${rows} rows, ${transitions} transitions to ${path}${lost > 0 ? `, lost ${lost} rows` : ''}`,
          );
        },
      });
    }
    if (mqtt) {
      const { startTelemetry } = await import('../bridge/publisher.js');
      telemetry = await startTelemetry({
        broker: mqtt,
        robot: name,
        boot,
        view: loop.view,
        recording: () => recorder?.state ?? null,
        ...(guard && { emergencyStop: () => guard.stop.state() }),
        task: policy.manifest.task,
        observation: policy.manifest.observation,
        ...(deliver && {
          listen: { topic: desiredTopic(name), heard: (payload) => delivery?.announce(payload) },
        }),
      });
      say(`telemetry of '${name}': farsight monitor --mqtt ${telemetry.url}`);
      this.add(telemetry);
    }
    if (deliver) {
      const { Delivery } = await import('./delivery.js');
      const told = telemetry;
      delivery = new Delivery(deliver.options, {
        ...{ loop, robot: name, policy, store: deliver.store },
        ...(adapt && { adapt }),
        happened: (event) => told?.say(event),
      });
      this.add(delivery);
    }
  }

  add(part: { stop(): Promise<unknown> }): void {
    this.#running.push(part);
  }

  /** Stops all, the newest first, whatever fails; then throws the first failure. */
  async stop(): Promise<void> {
    let failure: { error: unknown } | undefined;
    for (const part of this.#running.splice(0).reverse()) {
      try {
        await part.stop();
      } catch (error) {
        failure ??= { error };
      }
    }
    if (failure) throw failure.error;
  }
}
