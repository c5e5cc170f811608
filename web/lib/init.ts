/** Starting the package. */

import { call, configure } from './client.ts';

/** Options of {@link init}. */
export interface InitOptions {
  /** Address or bytes of `webmae_bg.wasm`; by default the one of the package. */
  wasm?: string | URL | ArrayBuffer | Uint8Array;
  /** Address of the package's `worker.js`, where a bundler does not find it by itself. */
  worker?: string | URL;
}

/** Starts the worker and loads WebAssembly, so that the first call need not wait. Optional: everything
 * else does it when it is first needed.
 *
 * @throws {InvalidOption} with options after the worker was started.
 * @throws {NetworkError} if the worker or `webmae_bg.wasm` cannot be fetched. */
export async function init(options: InitOptions = {}): Promise<void> {
  if (options.wasm !== undefined || options.worker !== undefined) configure(options);
  await call({}, (engine) => engine.ready());
}
