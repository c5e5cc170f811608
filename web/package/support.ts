/** What this browser can do. */

import { choose } from './choice.ts';
import { isChoice } from './client.ts';
import { graphics } from './graphics.ts';
import { simd } from './simd.ts';
import type { DeviceChoice, Support } from './types.ts';

/** Says what models run on here and why, or why they cannot and what to do. Never throws, also where there is no
 * browser.
 *
 * @param device What is asked for; `auto` by default. */
export async function support(device: DeviceChoice = 'auto'): Promise<Support> {
  if (!isChoice(device)) {
    return nothing(`'${String(device)}' is no device.`, "Ask for 'auto', 'webgpu' or 'cpu'.");
  }
  if (typeof navigator === 'undefined' || typeof Worker === 'undefined') {
    return nothing('There are no workers here, and webmae runs in one.', 'Use it in a browser.');
  }
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

function nothing(why: string, advice: string): Support {
  return { why, advice, reason: why, webgpu: false, software: false, cache: 'none' };
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
