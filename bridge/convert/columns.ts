// Parquet files with vectors in them: columns of numbers or of lists, written in one row group, read piece by piece.
import { type AsyncBuffer, asyncBufferFromFile, parquetMetadataAsync, parquetReadObjects } from 'hyparquet';
import { parquetWriteBuffer } from 'hyparquet-writer';
import { FarsightError, messageOf } from '../../contract/errors.js';

type Leaf = 'FLOAT' | 'DOUBLE' | 'INT64' | 'BOOLEAN' | 'STRING';
export interface VectorColumn {
  name: string;
  type: Leaf;
  /** Each row is one value; with `list` an array of them, with `fields` an object of columns. */
  shape?: 'list' | { fields: { name: string; type: Leaf }[] };
  data: unknown[];
}
type Element = NonNullable<Parameters<typeof parquetWriteBuffer>[0]['schema']>[number];

/** The bytes of a file of these columns. */
export function parquetFile(
  columns: readonly VectorColumn[],
  metadata: Record<string, string> = {},
): Uint8Array {
  const rows = columns[0].data.length;
  return new Uint8Array(
    parquetWriteBuffer({
      columnData: columns.map(({ name, data }) => ({ name, data })),
      schema: [{ name: 'schema', num_children: columns.length }, ...columns.flatMap(elementsOf)],
      // Minari counts row groups as episodes.
      rowGroupSize: Math.max(1, rows),
      kvMetadata: Object.entries(metadata).map(([key, value]) => ({ key, value })),
      createdBy: 'farsight',
    }),
  );
}

function elementsOf({ name, type, shape }: VectorColumn): Element[] {
  if (shape === undefined) return [leaf(name, type)];
  if (shape === 'list')
    return [
      { name, repetition_type: 'REQUIRED', converted_type: 'LIST', num_children: 1 },
      { name: 'list', repetition_type: 'REPEATED', num_children: 1 },
      leaf('element', type),
    ];
  const fields = shape.fields.map((field) => leaf(field.name, field.type));
  return [{ name, repetition_type: 'REQUIRED', num_children: fields.length }, ...fields];
}

function leaf(name: string, type: Leaf): Element {
  if (type === 'STRING')
    return { name, type: 'BYTE_ARRAY', converted_type: 'UTF8', repetition_type: 'REQUIRED' };
  return { name, type, repetition_type: 'REQUIRED' };
}

/** Rows that are read at once. */
const PIECE = 20_000;

/**
 * The rows of a file as objects of the columns `wanted`, those that are optional only where the file has them. Throws a
 * `FarsightError` that names the file when it cannot be read, or has not all the others.
 */
export async function* readParquet(
  path: string,
  wanted: readonly string[],
  optional: readonly string[],
): AsyncGenerator<Record<string, unknown>[]> {
  const refuse = (why: string) => new FarsightError(`'${path}' ${why}`);
  let file: AsyncBuffer;
  let metadata: Awaited<ReturnType<typeof parquetMetadataAsync>>;
  try {
    file = await asyncBufferFromFile(path);
    metadata = await parquetMetadataAsync(file);
  } catch (error) {
    throw refuse(`cannot be read: ${messageOf(error)}; copy it again`);
  }
  const there = topLevel(metadata.schema);
  const missing = wanted.find((name) => !there.has(name));
  if (missing !== undefined) throw refuse(`has no column '${missing}'; it has ${[...there].join(', ')}`);
  const columns = [...wanted, ...optional.filter((name) => there.has(name))];
  const total = Number(metadata.num_rows);
  for (let rowStart = 0; rowStart < total; rowStart += PIECE) {
    const rowEnd = Math.min(total, rowStart + PIECE);
    let rows: Record<string, unknown>[];
    try {
      rows = await parquetReadObjects({ file, metadata, columns, rowStart, rowEnd });
    } catch (error) {
      throw refuse(`cannot be read: ${messageOf(error)}; copy it again`);
    }
    yield rows;
  }
}

function topLevel(schema: readonly Element[]): Set<string> {
  const names = new Set<string>();
  let at = 1;
  const skip = (): void => {
    const { num_children = 0 } = schema[at++];
    for (let i = 0; i < num_children; i++) skip();
  };
  while (at < schema.length) {
    names.add(schema[at].name);
    skip();
  }
  return names;
}
