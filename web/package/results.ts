/** What the worker returns, as the page has it. */

import { InvalidOption } from './errors.ts';
import type { RawReconstruction, ReconstructRequest } from './protocol.ts';
import type { Reconstruction, ReconstructOptions } from './types.ts';

/** A request for a reconstruction, without what stays on the page. */
export function reconstructRequest(
  options: ReconstructOptions,
  patches: number,
): ReconstructRequest {
  const { signal: _signal, onProgress: _onProgress, mask, noise, fit = 'crop', ...plain } = options;
  for (const [name, entries] of Object.entries({ mask, noise })) {
    if (entries && entries.length !== patches) {
      throw new InvalidOption(
        `${name}: ${entries.length} entries; the model has ${patches} patches, and each needs one.`,
      );
    }
  }
  return {
    fit,
    json: JSON.stringify(plain),
    mask: mask && Uint8Array.from(mask, (hidden) => (hidden ? 1 : 0)),
    noise: noise && Float32Array.from(noise),
  };
}

/** A reconstruction with its parts as pictures. */
export function reconstructionOf(raw: RawReconstruction): Reconstruction {
  const { width, height, grid, mask, patchError, loss, milliseconds } = raw;
  const picture = (rgba: Uint8Array<ArrayBuffer>) =>
    new ImageData(new Uint8ClampedArray(rgba.buffer), width, height);
  return {
    grid,
    original: picture(raw.original),
    masked: picture(raw.masked),
    prediction: picture(raw.prediction),
    reconstruction: picture(raw.reconstruction),
    mask,
    patchError,
    loss,
    milliseconds,
  };
}
