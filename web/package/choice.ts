/** What models run on, and why. */

import type { Graphics } from './graphics.ts';
import type { Simd } from './simd.ts';
import type { DeviceChoice, DeviceKind } from './types.ts';

/** A device, and why it is this one; or why there is none and what can be done. */
export type Choice =
  | { device: DeviceKind; why: string }
  | { device?: never; why: string; advice: string };

const NO_SIMD = "This browser's WebAssembly has no vector instructions (SIMD).";
const UPDATE = 'Update it, or use a current Chrome, Edge, Safari or Firefox.';

/** A graphics card if there is one, else the processor, unless one of the two is asked for. The software adapter that
 * some browsers have in place of a card is taken only where WebGPU is asked for: WebAssembly makes more of the same
 * processor. */
export function choose(wanted: DeviceChoice, graphics: Graphics, simd: Simd): Choice {
  const { adapter, software } = graphics;
  if (wanted === 'webgpu') {
    if (adapter) return { device: 'webgpu', why: 'WebGPU was asked for.' };
    return { why: graphics.reason, advice: graphics.advice };
  }
  if (wanted === 'cpu') {
    if (simd !== 'none') return { device: 'cpu', why: 'The processor was asked for.' };
    return { why: NO_SIMD, advice: UPDATE };
  }
  if (adapter && !software) {
    return { device: 'webgpu', why: `WebGPU offers a graphics adapter, ${adapter.name}.` };
  }
  if (simd === 'none') {
    if (adapter) return { device: 'webgpu', why: `${NO_SIMD} WebGPU offers ${adapter.name}.` };
    return { why: `${graphics.reason} ${NO_SIMD}`, advice: graphics.advice };
  }
  const why = adapter
    ? `WebGPU offers no graphics card, only software on the processor (${adapter.name}).`
    : graphics.reason;
  return { device: 'cpu', why };
}
