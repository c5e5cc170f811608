/** Starting the package. */

import { call, configure } from './client.ts';

/** Address or bytes of `webmae_bg.wasm`. */
export type WasmSource = string | URL | ArrayBuffer | Uint8Array;

/** Options of {@link init}. */
export interface InitOptions {
  /** By default the `webmae_bg.wasm` of the package. */
  wasm?: WasmSource;
  /** Address of the package's `worker.js`, where a bundler does not find it by itself. */
  worker?: string | URL;
}

/** Starts the worker and loads WebAssembly, so that the first call need not wait. Optional: everything
 * else does it when it is first needed.
 *
 * @param source Where WebAssembly, or the worker as well, comes from if not from the package.
 * @throws {InvalidOption} with options after the worker was started.
 * @throws {NetworkError} if the worker or `webmae_bg.wasm` cannot be fetched. */
export async function init(source: WasmSource | InitOptions = {}): Promise<void> {
  const options = isWasm(source) ? { wasm: source } : source;
  if (options.wasm !== undefined || options.worker !== undefined) configure(options);
  await call({}, (engine) => engine.ready());
}

function isWasm(source: WasmSource | InitOptions): source is WasmSource {
  return (
    typeof source === 'string' ||
    source instanceof URL ||
    source instanceof ArrayBuffer ||
    source instanceof Uint8Array
  );
}
