/** Files of a trainer, written part by part, so that WebAssembly's heap, which never shrinks, need not hold them. */

import { BadWeights } from '../errors.ts';
import { roundsToInfinity, toHalf } from './half.ts';
import type { Trainer } from './modules.ts';

/** What a file holds, as WebAssembly describes it. */
interface Layout {
  metadata: Record<string, string>;
  /** The tensors in each part, with the place of their first value. */
  parts: { name: string; shape: number[]; first: number }[][];
}

/** A tensor of the file, and where it is in the part that is read. */
interface Tensor {
  name: string;
  first: number;
  length: number;
  /** Its first byte after the header. */
  begin: number;
}

/** All that is needed to go on. */
export function checkpointFile(trainer: Trainer): Promise<Uint8Array> {
  return write(trainer, true, false);
}

/** The weights alone, in f16 if `half`.
 *
 * @throws {BadWeights} if f16 does not hold one of them. */
export function weightsFile(trainer: Trainer, half: boolean): Promise<Uint8Array> {
  return write(trainer, false, half);
}

async function write(trainer: Trainer, checkpoint: boolean, half: boolean): Promise<Uint8Array> {
  const { metadata, parts } = JSON.parse(await trainer.layout(checkpoint)) as Layout;
  const bytes = half ? 2 : 4;
  const header: Record<string, unknown> = { __metadata__: metadata };
  let size = 0;
  const placed = parts.map((tensors) =>
    tensors.map(({ name, shape, first }): Tensor => {
      const length = shape.reduce((product, extent) => product * extent, 1);
      const begin = size;
      size += bytes * length;
      header[name] = { dtype: half ? 'F16' : 'F32', shape, data_offsets: [begin, size] };
      return { name, first, length, begin };
    }),
  );
  const text = encoded(header);
  const file = new Uint8Array(8 + text.length + size);
  new DataView(file.buffer).setBigUint64(0, BigInt(text.length), true);
  file.set(text, 8);
  const data = file.subarray(8 + text.length);
  for (const [index, tensors] of placed.entries()) {
    const part = await trainer.readPart(checkpoint, index);
    for (const { name, first, length, begin } of tensors) {
      const values = part.subarray(first, first + length);
      data.set(half ? halved(values, name) : asBytes(values), begin);
    }
  }
  return file;
}

/** JSON of a header, filled up so that the values behind it lie at multiples of eight. */
function encoded(header: object): Uint8Array {
  const text = new TextEncoder().encode(JSON.stringify(header));
  const padded = new Uint8Array(Math.ceil(text.length / 8) * 8).fill(0x20);
  padded.set(text);
  return padded;
}

function halved(values: Float32Array, name: string): Uint8Array {
  const bad = values.find(roundsToInfinity);
  if (bad !== undefined) {
    throw new BadWeights(
      `${name} holds ${bad}, which f16 cannot: it ends at 65504. Export f32 instead.`,
    );
  }
  return asBytes(Uint16Array.from(values, toHalf));
}

/** The bytes of numbers; every machine with WebAssembly has the file's order of bytes. */
function asBytes({ buffer, byteOffset, byteLength }: Float32Array | Uint16Array): Uint8Array {
  return new Uint8Array(buffer, byteOffset, byteLength);
}
