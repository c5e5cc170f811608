/** The worker that has the device. */

import * as Comlink from 'comlink';
import { Engine } from './engine/engine.ts';

// In exactly this form bundlers recognise a file.
Comlink.expose(new Engine(new URL('../wasm/webmae_bg.wasm', import.meta.url)));
