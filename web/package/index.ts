/** Masked autoencoders in the browser: reconstruct, embed and train on the visitor's own GPU, or on the processor where
 * there is none.
 *
 * @packageDocumentation */

export { cache } from './cache.ts';
export { loseDevice, memory } from './device.ts';
export {
  BadImage,
  BadWeights,
  Closed,
  DeviceLost,
  Diverged,
  Internal,
  InvalidOption,
  NetworkError,
  OutOfMemory,
  QuotaExceeded,
  WebGPUUnavailable,
  WebmaeError,
} from './errors.ts';
export { init } from './init.ts';
export { MAE } from './mae.ts';
export { support } from './support.ts';
export { type Images, Trainer } from './trainer.ts';
export type * from './types.ts';
