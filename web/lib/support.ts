/** What this browser can do. */

import type { AdapterInfo, Support } from './types.ts';
import { whyNoAdapter, whyNoWebGPU } from './why.ts';

/** Says whether models can be run here, on what, and if not, why and what to do. Never throws. */
export async function support(): Promise<Support> {
  const [gpu, cache, quota] = await Promise.all([graphics(), cacheKind(), room()]);
  return { ...gpu, cache, ...(quota && { quota }) };
}

type Graphics = Pick<Support, 'webgpu' | 'reason' | 'advice' | 'adapter' | 'software'>;

async function graphics(): Promise<Graphics> {
  if (!navigator.gpu) return without(whyNoWebGPU());
  const adapter = await navigator.gpu
    .requestAdapter({ powerPreference: 'high-performance' })
    .catch(() => null);
  if (!adapter) return without(whyNoAdapter());
  const software = isSoftware(adapter);
  return { webgpu: true, adapter: adapterInfo(adapter, software), software };
}

function without([reason, advice]: [string, string]): Graphics {
  return { webgpu: false, reason, advice, software: false };
}

function adapterInfo({ info, limits, features }: GPUAdapter, software: boolean): AdapterInfo {
  const name = info.description || [info.vendor, info.architecture].filter(Boolean).join(' ');
  return {
    name: name || 'unnamed adapter',
    kind: software ? 'software (CPU)' : 'GPU',
    maxBinding: limits.maxStorageBufferBindingSize,
    maxBuffer: limits.maxBufferSize,
    features: [...features].sort(),
  };
}

function isSoftware({ info }: GPUAdapter): boolean {
  const text = `${info.vendor} ${info.architecture} ${info.device} ${info.description}`;
  return info.isFallbackAdapter || /swiftshader|llvmpipe|lavapipe|basic render|warp/i.test(text);
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
