import * as Comlink from 'comlink';
import type { RawReconstruction } from '../protocol.ts';
import type { Reconstruction } from './modules.ts';

/** Takes everything out of a reconstruction and frees it; `began` is when the work began. */
export function unpack(result: Reconstruction, began: number): RawReconstruction {
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
  const transfer = Object.values(parts).map(({ buffer }) => buffer);
  const milliseconds = performance.now() - began;
  return Comlink.transfer(
    { width, height, grid: [rows, columns], loss, milliseconds, ...parts },
    transfer,
  );
}
