import * as Comlink from 'comlink';
import type { RawReconstruction } from '../protocol.ts';
import type { Reconstruction } from './modules.ts';

/** Takes everything out of reconstructions and frees them; `began` is when the work began. */
export function unpack(results: Reconstruction[], began: number): RawReconstruction[] {
  const raw = results.map((result) => unpackOne(result, began));
  const transfer = raw.flatMap((one) =>
    Object.values(one).flatMap((part) => (ArrayBuffer.isView(part) ? [part.buffer] : [])),
  );
  return Comlink.transfer(raw, transfer);
}

function unpackOne(result: Reconstruction, began: number): RawReconstruction {
  const { width, height, rows, columns, loss } = result;
  const bytes = (array: Uint8Array) => array as Uint8Array<ArrayBuffer>;
  const parts = {
    original: bytes(result.original()),
    masked: bytes(result.masked()),
    prediction: bytes(result.prediction()),
    reconstruction: bytes(result.reconstruction()),
    mask: result.mask(),
    patchError: result.patchError(),
  };
  result.free();
  const milliseconds = performance.now() - began;
  return { width, height, grid: [rows, columns], loss, milliseconds, ...parts };
}
