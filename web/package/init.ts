/** Starting the package. */

import { call, configure, deviceFor } from './client.ts';
import { checked, INIT } from './options.ts';
import type { InitOptions, WasmSource } from './types.ts';

/** Starts the worker and loads WebAssembly, so that the first call need not wait. Optional: everything
 * else does it when it is first needed.
 *
 * @param source Options, or only where the module for WebGPU comes from.
 * @throws {InvalidOption} for options that there are not, or after the worker was started.
 * @throws {NetworkError} if the worker or WebAssembly cannot be fetched.
 * @throws {WebGPUUnavailable} if this browser cannot run models. */
export async function init(source: WasmSource | InitOptions = {}): Promise<void> {
  const options = checked(isWasm(source) ? { wasm: source } : source, INIT);
  if (Object.values(options).some((value) => value !== undefined)) configure(options);
  const device = deviceFor(undefined);
  await call({}, (engine) => engine.ready(device));
}

function isWasm(source: WasmSource | InitOptions): source is WasmSource {
  return (
    typeof source === 'string' ||
    source instanceof URL ||
    source instanceof ArrayBuffer ||
    source instanceof Uint8Array
  );
}
