/** What can go wrong, as classes to tell apart. Every message says what happened and what to do. */

/** The base of all errors of the package. `name` is the class's name, also across realms. */
export class WebmaeError extends Error {
  override name = 'WebmaeError';
}

/** This browser has no WebGPU or no graphics adapter for it where one is asked for, and no SIMD in WebAssembly
 * otherwise; {@link support} says why. */
export class WebGPUUnavailable extends WebmaeError {
  override name = 'WebGPUUnavailable';
}

/** Graphics memory, or a limit of the adapter, does not suffice. */
export class OutOfMemory extends WebmaeError {
  override name = 'OutOfMemory';
}

/** The graphics device is gone. Models must be loaded, trainers resumed again; a new device opens. */
export class DeviceLost extends WebmaeError {
  override name = 'DeviceLost';
}

/** The file is no model, not whole, or not the one that was expected. */
export class BadWeights extends WebmaeError {
  override name = 'BadWeights';
}

/** A picture that cannot be read. */
export class BadImage extends WebmaeError {
  override name = 'BadImage';
}

/** An option that cannot be used. */
export class InvalidOption extends WebmaeError {
  override name = 'InvalidOption';
}

/** Training produced numbers that are not finite, several times in a row. */
export class Diverged extends WebmaeError {
  override name = 'Diverged';
}

/** A download failed. */
export class NetworkError extends WebmaeError {
  override name = 'NetworkError';
}

/** The browser has no room left for the cache; only where `cache: true` asked for it. */
export class QuotaExceeded extends WebmaeError {
  override name = 'QuotaExceeded';
}

/** The model or trainer was closed before. */
export class Closed extends WebmaeError {
  override name = 'Closed';
}

/** A fault of the package itself. */
export class Internal extends WebmaeError {
  override name = 'Internal';
}

const classes: Record<string, typeof WebmaeError> = {
  WebGPUUnavailable,
  OutOfMemory,
  DeviceLost,
  BadWeights,
  BadImage,
  InvalidOption,
  Diverged,
  NetworkError,
  QuotaExceeded,
  Closed,
  Internal,
};

/** An error that came out of WebAssembly, out of the browser or through a message port (where only
 * name and message travel) as one of this package; an `AbortError` and the package's own stay as they
 * are. */
export function typed(error: unknown): Error {
  if (error instanceof WebmaeError) return error;
  if (!(error instanceof Error)) return new Internal(String(error), { cause: error });
  if (error.name === 'AbortError') return error;
  const Class = classes[error.name];
  if (Class) return new Class(error.message, { cause: error.cause });
  return new Internal(`Something unforeseen: ${error.name}: ${error.message}`, { cause: error });
}
