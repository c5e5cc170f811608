/** Safetensors files in the tests' own process. */

import { createHash } from 'node:crypto';

/** A tensor's values, of any element type. */
export interface Tensor {
  shape: number[];
  values: Float32Array;
}

/** Tensors by name, and the file's text entries. */
export interface TensorFile {
  tensors: Map<string, Tensor>;
  metadata: Record<string, string>;
}

interface Entry {
  dtype: string;
  shape: number[];
  data_offsets: [number, number];
}

/** Bytes of the header with its eight bytes of length. */
export function headerLength(file: Uint8Array): number {
  return 8 + Number(new DataView(file.buffer, file.byteOffset).getBigUint64(0, true));
}

export function readTensors(file: Uint8Array): TensorFile {
  const { entries, metadata } = readHeader(file);
  const tensors = entries.map(([name, { dtype, shape }, bytes]): [string, Tensor] => [
    name,
    { shape, values: decode(dtype, bytes) },
  ]);
  return { tensors: new Map(tensors), metadata };
}

/** A digest of each tensor's bytes, to compare bit for bit. */
export function tensorDigests(file: Uint8Array): Record<string, string> {
  const digests = readHeader(file).entries.map(([name, { dtype, shape }, bytes]) => {
    const digest = createHash('sha256').update(Buffer.from(bytes)).digest('hex');
    return [name, `${dtype} ${shape} ${digest}`];
  });
  return Object.fromEntries(digests);
}

/** Writes tensors as f32 or, cut off, as bf16. */
export function writeTensors(
  { tensors, metadata }: TensorFile,
  dtype: 'F32' | 'BF16' = 'F32',
): Uint8Array {
  const header: Record<string, Entry | Record<string, string>> = { __metadata__: metadata };
  const data: Buffer[] = [];
  let end = 0;
  for (const [name, { shape, values }] of tensors) {
    const bytes = encode(dtype, values);
    header[name] = { dtype, shape, data_offsets: [end, end + bytes.length] };
    end += bytes.length;
    data.push(bytes);
  }
  const text = Buffer.from(JSON.stringify(header));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(text.length));
  return new Uint8Array(Buffer.concat([length, text, ...data]));
}

function readHeader(file: Uint8Array) {
  const start = headerLength(file);
  const { __metadata__: metadata = {}, ...entries } = JSON.parse(
    new TextDecoder().decode(file.subarray(8, start)),
  ) as Record<string, Entry> & { __metadata__?: Record<string, string> };
  const found = Object.entries<Entry>(entries).map(
    ([name, entry]): [string, Entry, ArrayBuffer] => {
      const [begin, end] = entry.data_offsets;
      // A copy: element types need their alignment.
      return [name, entry, Uint8Array.from(file.subarray(start + begin, start + end)).buffer];
    },
  );
  return { entries: found, metadata };
}

function decode(dtype: string, bytes: ArrayBuffer): Float32Array {
  switch (dtype) {
    case 'F32':
      return new Float32Array(bytes);
    case 'F64':
      return Float32Array.from(new Float64Array(bytes));
    case 'I64':
      return Float32Array.from(new BigInt64Array(bytes), Number);
    default:
      throw new Error(`no reader for ${dtype}`);
  }
}

function encode(dtype: 'F32' | 'BF16', values: Float32Array): Buffer {
  const words = new Uint32Array(values.buffer, values.byteOffset, values.length);
  if (dtype === 'F32') return Buffer.from(words.buffer, words.byteOffset, words.byteLength);
  return Buffer.from(Uint16Array.from(words, (word) => word >>> 16).buffer);
}
