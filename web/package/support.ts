/** What this browser can do. */

import { choose } from './choice.ts';
import { graphics } from './graphics.ts';
import { simd } from './simd.ts';
import type { DeviceChoice, Support } from './types.ts';

/** Says what models run on here and why, or why they cannot and what to do. Never throws.
 *
 * @param device What is asked for; `auto` by default. */
export async function support(device: DeviceChoice = 'auto'): Promise<Support> {
  const [offered, cache, quota] = await Promise.all([graphics(), cacheKind(), room()]);
  const { adapter, software, ...missing } = offered;
  return {
    ...choose(device, offered, simd()),
    ...missing,
    webgpu: adapter !== undefined,
    software,
    ...(adapter && { adapter }),
    cache,
    ...(quota && { quota }),
  };
}

async function cacheKind(): Promise<Support['cache']> {
  try {
    await navigator.storage.getDirectory();
    return 'opfs';
  } catch {
    return 'none';
  }
}

async function room(): Promise<Support['quota']> {
  try {
    const { quota = 0, usage = 0 } = await navigator.storage.estimate();
    return { available: quota, used: usage };
  } catch {
    return undefined;
  }
}
