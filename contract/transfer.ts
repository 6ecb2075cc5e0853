// What crosses between a robot and its collector: what an upload says of itself, the receipt for it, and over MQTT the
// offer by which a robot finds one of several.
import { z } from 'zod';
import { robotNameSchema, TELEMETRY_VERSION } from './telemetry.js';

/** Paths of the collector. Uploads are resumable ones by the tus protocol, version 1. */
export const UPLOADS_PATH = '/v1/uploads';
export const RECEIPTS_PATH = '/v1/receipts';

const sha256Schema = z.string().regex(/^[0-9a-f]{64}$/, 'wants a SHA-256 of 64 hexadecimal digits');
/** Names a run of a loop, in recordings and telemetry alike. */
export const bootSchema = z.string().regex(/^[A-Za-z0-9-]{1,64}$/, 'wants 1 to 64 letters, digits or -');

/** The tus metadata of an upload. */
export const uploadSchema = z.strictObject({
  /** Name of the file on the robot. */
  filename: z.string().regex(/^[A-Za-z0-9_.:-]{1,200}\.mcap$/, 'wants a plain name that ends in .mcap'),
  /** Of the whole file: what differs is thrown away and asked for again. */
  sha256: sha256Schema,
  robot: robotNameSchema,
  boot: bootSchema,
});
export type UploadMetadata = z.infer<typeof uploadSchema>;

const count = z.int().nonnegative();

/** What became of a file, asked for by its SHA-256. Only `stored` and `quarantined` are final, and last. */
export const receiptSchema = z.discriminatedUnion('state', [
  z.object({ state: z.literal('unknown') }),
  z.object({ state: z.literal('pending') }),
  z.object({
    state: z.literal('stored'),
    dataset: z.string(),
    /** Rows that it brought, and those that were there already. */
    rows: count,
    duplicates: count,
  }),
  z.object({ state: z.literal('quarantined'), reason: z.string() }),
]);
export type Receipt = z.infer<typeof receiptSchema>;
export type FinalReceipt = Extract<Receipt, { state: 'stored' | 'quarantined' }>;

/** Over MQTT a robot offers a file, and a collector answers where it may go: to one of several, which the broker chose. */
export const offerSchema = z.object({
  version: z.literal(TELEMETRY_VERSION),
  robot: robotNameSchema,
  sha256: sha256Schema,
  bytes: z.int().positive(),
});
export type Offer = z.infer<typeof offerSchema>;

export const offerAnswerSchema = z.object({
  version: z.literal(TELEMETRY_VERSION),
  robot: robotNameSchema,
  sha256: sha256Schema,
  /** Of the collector. */
  url: z.url({ protocol: /^https?$/ }),
});
export type OfferAnswer = z.infer<typeof offerAnswerSchema>;

export const offerAnswerTopic = (robot: string) => `farsight/v${TELEMETRY_VERSION}/${robot}/request/upload`;

/** What a log line says of an upload: the boot is the correlation id from the robot to the refit. */
export function aboutUpload({ robot, boot, filename, sha256 }: UploadMetadata) {
  return { robot, boot, file: filename, source: sha256.slice(0, 12) };
}
