// What crosses the network when policies are delivered: what signed metadata says of a target, and who is to run which.
import { z } from 'zod';
import { robotNameSchema, TELEMETRY_VERSION } from './telemetry.js';

/** A target's name in the repository: the interface's directory, as `datasetName` has it, and the version. */
export const targetNameSchema = z
  .string()
  .regex(/^[A-Za-z0-9_.-]{1,100}\/[1-9][0-9]{0,8}\.onnx$/, 'wants INTERFACE/VERSION.onnx');

/** The `custom` of a target in signed metadata. */
export const policyTargetSchema = z.object({
  task: z.string().min(1),
  /** Name of the interface: the task's, and digits of the SHA-256 of its rate and terms. */
  interface: z.string().min(1),
  /** Only grows, for each interface. */
  version: z.int().positive(),
  /** SHA-256 of the policy that it was refined from. */
  parent: z.string().nullable(),
});
export type PolicyTarget = z.infer<typeof policyTargetSchema>;

/** Retained at `desiredTopic`: a hint, which signed metadata confirms or not. */
export const desiredSchema = z.object({
  version: z.literal(TELEMETRY_VERSION),
  robot: robotNameSchema,
  target: targetNameSchema,
});
export type Desired = z.infer<typeof desiredSchema>;

/** The same for all robots as a file beside the metadata, for those without a broker, and while it is away. */
export const desiredFileSchema = z.object({
  version: z.literal(TELEMETRY_VERSION),
  robots: z.record(robotNameSchema, targetNameSchema),
});
export type DesiredFile = z.infer<typeof desiredFileSchema>;

/** The roles that sign a repository's metadata, as TUF has them. */
export const ROLES = ['root', 'targets', 'snapshot', 'timestamp'] as const;
export type RoleName = (typeof ROLES)[number];

export const DESIRED_FILE = 'desired.json';
export const METADATA_FOLDER = 'metadata';
export const TARGETS_FOLDER = 'targets';

export function desiredTopic(robot: string): string {
  return `farsight/v${TELEMETRY_VERSION}/${robot}/desired`;
}
