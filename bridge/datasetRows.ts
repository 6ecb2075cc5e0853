// The rows of a received recording as the bytes of a dataset's Parquet file.
import { parquetWriteBuffer } from 'hyparquet-writer';
import { type DatasetTask, datasetColumns } from '../contract/dataset.js';
import type { Recording } from '../contract/recording.js';
import type { UploadMetadata } from '../contract/transfer.js';

/** A file that was read and checked. */
export interface Received {
  recording: Recording;
  complete: boolean;
  lost: number;
  rows: Float64Array[];
  /** Of each row, ns since 1970. */
  walls: bigint[];
}

/** A file of the rows at the indices `fresh`. */
export function parquetOf(
  task: DatasetTask,
  { robot, boot, sha256 }: Pick<UploadMetadata, 'robot' | 'boot' | 'sha256'>,
  { rows, walls }: Pick<Received, 'rows' | 'walls'>,
  fresh: readonly number[],
): Uint8Array {
  const own: Record<string, () => unknown[]> = {
    robot: () => fresh.map(() => robot),
    boot: () => fresh.map(() => boot),
    time: () => fresh.map((i) => new Date(Number(walls[i] / 1_000_000n))),
  };
  const columnData = datasetColumns(task).map(({ name, type, place, names }) => {
    if (place === undefined) return { name, type, nullable: false, data: own[name]() };
    const values = fresh.map((i) => rows[i][place]);
    const data =
      type === 'INT64'
        ? BigInt64Array.from(values, BigInt)
        : type === 'FLOAT'
          ? Float32Array.from(values)
          : names
            ? values.map((value) => names[value])
            : values;
    return { name, type, nullable: false, data };
  });
  const kvMetadata = [
    { key: 'farsight.source', value: sha256 },
    { key: 'farsight.interface', value: JSON.stringify(task) },
  ];
  return new Uint8Array(parquetWriteBuffer({ columnData, kvMetadata, createdBy: 'farsight' }));
}
