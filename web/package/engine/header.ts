/** The beginning of a safetensors file. */

import { BadWeights } from '../errors.ts';
import type { Reader } from './reader.ts';

/** The format's own limit, in bytes. */
const MAX_HEADER = 100e6;

/** What a file begins with. */
export interface Header {
  /** The length, then the JSON. */
  bytes: Uint8Array;
  /** Bytes of the file, header included, as the header has it. */
  fileBytes: number;
  /** Whether the file describes its model by itself, as this project's files do. */
  describesItself: boolean;
}

/** Reads the header of a safetensors file.
 *
 * @throws {BadWeights} if it is none. */
export async function readHeader(reader: Reader): Promise<Header> {
  if (reader.size !== undefined && reader.size < 8)
    throw notSafetensors(reader.name, 'is too short for');
  const length = await reader.read(0, 8);
  const n = Number(new DataView(length.buffer, length.byteOffset).getBigUint64(0, true));
  if (isPyTorch(length, n)) {
    throw new BadWeights(
      `${reader.name} is a PyTorch file (.pth, .pt, .bin), which can run code. Convert it on the command line: webmae export --weights model.pth --format webmae --out model.safetensors`,
    );
  }
  // A length may begin with the same byte, but is smaller then.
  if (length[0] === 0x3c && n > MAX_HEADER) throw notSafetensors(reader.name, 'is a web page, not');
  const tooLong = n > MAX_HEADER || (reader.size !== undefined && 8 + n > reader.size);
  if (n < 2 || tooLong) throw notSafetensors(reader.name, 'is not');
  const text = await reader.read(8, 8 + n);
  const bytes = new Uint8Array(8 + n);
  bytes.set(length);
  bytes.set(text, 8);
  return { bytes, ...parse(text, reader.name) };
}

function parse(text: Uint8Array, name: string): Omit<Header, 'bytes'> {
  let header: unknown;
  try {
    header = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(text));
  } catch {
    throw notSafetensors(name, 'is not');
  }
  if (typeof header !== 'object' || header === null) throw notSafetensors(name, 'is not');
  const { __metadata__: metadata, ...tensors } = header as Record<string, unknown>;
  const ends = Object.values(tensors).map((tensor) => {
    const offsets = (tensor as { data_offsets?: unknown[] } | null)?.data_offsets;
    return typeof offsets?.[1] === 'number' ? offsets[1] : 0;
  });
  const data = ends.reduce((largest, end) => Math.max(largest, end), 0);
  const names = metadata ? Object.keys(metadata) : [];
  return {
    fileBytes: 8 + text.length + data,
    describesItself: names.some((name) => name.startsWith('webmae.')),
  };
}

/** PyTorch's files are zip archives, or pickles, whose first byte a header's length may have as well. */
function isPyTorch([a, b, c, d]: Uint8Array, length: number): boolean {
  const zip = a === 0x50 && b === 0x4b && c === 3 && d === 4;
  return zip || (a === 0x80 && length > MAX_HEADER);
}

function notSafetensors(name: string, verb: string): BadWeights {
  return new BadWeights(
    `${name} ${verb} a safetensors file. Take the file model.safetensors itself (on a model hub its download link).`,
  );
}
