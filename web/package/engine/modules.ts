/** The two WebAssembly modules, which have the same interface: for WebGPU, and for the processor. Each is loaded
 * when it is first needed. */

import * as forGpu from '../../wasm/webmae.js';
import * as forCpu from '../../wasm/webmae_cpu.js';
import { NetworkError } from '../errors.ts';
import type { WasmSources } from '../protocol.ts';
import { simd } from '../simd.ts';
import type { DeviceKind } from '../types.ts';

/** What both modules have. */
export type Module = typeof forCpu;
export type Device = forCpu.Device;
/** A graphics adapter: it has tiles to choose, and can be lost. */
export type Adapter = forGpu.Device;
export type { Model, Reconstruction, Trainer } from '../../wasm/webmae_cpu.js';

/** Where the modules' files lie if the page does not say otherwise. */
export interface Addresses {
  webgpu: URL;
  cpu: URL;
  /** For browsers with relaxed SIMD. */
  cpuRelaxed: URL;
}

/** Tells a graphics adapter from the processor. */
export function isAdapter(device: Device): device is Adapter {
  return 'lose' in device;
}

export class Modules {
  readonly #addresses: Addresses;
  readonly #sources: WasmSources;
  readonly #loading = new Map<DeviceKind, Promise<Module>>();
  readonly #memories: WebAssembly.Memory[] = [];

  constructor(addresses: Addresses, sources: WasmSources) {
    this.#addresses = addresses;
    this.#sources = sources;
  }

  /** The module for a kind of device.
   *
   * @throws {NetworkError} if it cannot be loaded. */
  load(kind: DeviceKind): Promise<Module> {
    const known = this.#loading.get(kind);
    if (known) return known;
    const loading = this.#load(kind);
    this.#loading.set(kind, loading);
    loading.catch(() => this.#loading.delete(kind));
    return loading;
  }

  /** Bytes of the modules' memories. */
  get heap(): number {
    return this.#memories.reduce((sum, { buffer }) => sum + buffer.byteLength, 0);
  }

  async #load(kind: DeviceKind): Promise<Module> {
    // The classes that differ are told apart where they are used.
    const module = kind === 'cpu' ? forCpu : (forGpu as unknown as Module);
    const address = this.#address(kind);
    try {
      const { memory } = await module.default({ module_or_path: this.#sources[kind] ?? address });
      this.#memories.push(memory);
      return module;
    } catch (error) {
      const file = address.pathname.slice(address.pathname.lastIndexOf('/') + 1);
      const option = kind === 'cpu' ? 'wasmCpu' : 'wasm';
      const message = error instanceof Error ? error.message : String(error);
      throw new NetworkError(
        `${file} could not be loaded (${message}). Check that it is served as application/wasm where the package has it, or say where it is: init({ ${option} }).`,
      );
    }
  }

  #address(kind: DeviceKind): URL {
    if (kind === 'webgpu') return this.#addresses.webgpu;
    return simd() === 'relaxed' ? this.#addresses.cpuRelaxed : this.#addresses.cpu;
  }
}
