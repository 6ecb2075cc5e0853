// Keeps a robot's recordings within their share of the disk: what the collector has goes first, black boxes last.
import { rmSync, statfsSync } from 'node:fs';
import { bytesIn, type ClosedSegments, describe, listSegments, type Segment } from './segments.js';
import type { Dropped, UploadLedger } from './uploadLedger.js';

export interface QuotaOptions {
  directory: string;
  /** Bytes that the directory may have. */
  quota: number;
  /** Bytes that stay free on its disk, whoever fills it. */
  reserve: number;
  /** A file that has not changed for so long takes no more rows, ms. */
  settle: number;
}

export interface DiskState {
  used: number;
  quota: number;
  free: number;
}

export function diskState({ directory, quota }: QuotaOptions): DiskState {
  return { used: bytesIn(directory), quota, free: freeBytes(directory) };
}

/** 0 where the directory is not there any more. */
function freeBytes(directory: string): number {
  try {
    const { bavail, bsize } = statfsSync(directory);
    return bavail * bsize;
  } catch {
    return 0;
  }
}

/**
 * Deletes files until the quota and the reserve hold, or none is left that may go. In this order, each the oldest first:
 * segments that the collector has, black boxes that it has, segments that it does not have, black boxes that it does not
 * have. A file that is still written never goes. Returns what was dropped unsent.
 */
export async function keepQuota(
  options: QuotaOptions,
  ledger: UploadLedger,
  closed: ClosedSegments,
): Promise<Dropped[]> {
  const { quota, reserve } = options;
  const dropped: Dropped[] = [];
  ledger.flush();
  let { used, free } = diskState(options);
  if (used <= quota && free >= reserve) return dropped;
  for (const segment of await deletable(options, ledger, closed)) {
    if (used <= quota && free >= reserve) break;
    if (!ledger.get(segment)?.done) {
      const gone = await droppedOf(segment);
      ledger.drop(gone);
      dropped.push(gone);
    }
    rmSync(segment.path, { force: true });
    ledger.forget(segment);
    closed.forget(segment);
    ({ used, free } = diskState(options));
  }
  ledger.flush();
  return dropped;
}

async function deletable(
  { directory, settle }: QuotaOptions,
  ledger: UploadLedger,
  closed: ClosedSegments,
): Promise<Segment[]> {
  const old: Segment[] = [];
  for (const segment of listSegments(directory)) {
    if (await closed.has(segment, settle)) old.push(segment);
  }
  const rank = (segment: Segment) => (ledger.get(segment)?.done ? 0 : 2) + (segment.blackBox ? 1 : 0);
  return old.sort((a, b) => rank(a) - rank(b));
}

async function droppedOf(segment: Segment): Promise<Dropped> {
  const { name, bytes } = segment;
  const time = new Date().toISOString();
  const about = await describe(segment).catch(() => undefined);
  return {
    ...{ name, time, bytes, rows: about?.rows ?? 0 },
    ...(about && { robot: about.recording.robot, boot: about.recording.recording }),
  };
}
