/** The worker that has the devices. */

import * as Comlink from 'comlink';
import { Engine } from './engine/engine.ts';

// In exactly this form bundlers recognise files.
const addresses = {
  webgpu: new URL('../wasm/webmae_bg.wasm', import.meta.url),
  cpu: new URL('../wasm/webmae_cpu_bg.wasm', import.meta.url),
  cpuRelaxed: new URL('../wasm/webmae_cpu_relaxed_bg.wasm', import.meta.url),
};
Comlink.expose(new Engine(addresses));
