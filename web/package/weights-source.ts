/** Where weights come from, made ready for the worker. */

import { absolute } from './client.ts';
import { InvalidOption } from './errors.ts';
import type { Weights } from './protocol.ts';
import type { WeightsSource } from './types.ts';

/** Weights as they are posted. Bytes become a `Blob`, which the browser may keep on disk, and the
 * caller's stay usable.
 *
 * @throws {InvalidOption} for anything else, or an address that is none. */
export function postWeights(source: WeightsSource): Weights {
  if (source === 'tiny') {
    return {
      url: new URL('../../models/photos-96.safetensors', import.meta.url).href,
      shipped: true,
    };
  }
  if (typeof source === 'string' || source instanceof URL) {
    return { url: absolute(source), shipped: false };
  }
  if (source instanceof Blob) {
    return {
      blob: source,
      name: source instanceof File && source.name ? source.name : 'The file',
    };
  }
  if (source instanceof ArrayBuffer) return { blob: new Blob([source]), name: 'The file' };
  if (source instanceof Uint8Array) {
    return { blob: new Blob([source as Uint8Array<ArrayBuffer>]), name: 'The file' };
  }
  throw new InvalidOption(
    'Pass weights as an address, a File or Blob, their bytes, or the name of a shipped model.',
  );
}
