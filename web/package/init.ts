/** Starting the package. */

import { call, configure, deviceFor } from './client.ts';
import { checked, INIT } from './options.ts';
import type { DeviceChoice } from './types.ts';

/** Address or bytes of WebAssembly. */
export type WasmSource = string | URL | ArrayBuffer | Uint8Array;

/** Options of {@link init}. */
export interface InitOptions {
  /** The module for WebGPU, by default the package's `webmae_bg.wasm`. */
  wasm?: WasmSource;
  /** The module for the processor, by default the package's `webmae_cpu_relaxed_bg.wasm`, or `webmae_cpu_bg.wasm`
   * where the browser has no relaxed SIMD. */
  wasmCpu?: WasmSource;
  /** What models and trainers run on that do not say so themselves; `auto` by default. */
  device?: DeviceChoice;
  /** Address of the package's `worker.js`, where a bundler does not find it by itself. */
  worker?: string | URL;
}

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
