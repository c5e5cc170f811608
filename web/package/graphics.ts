/** The graphics adapter that the browser offers: page and worker both look. */

import type { AdapterInfo } from './types.ts';
import { whyNoAdapter, whyNoWebGPU } from './why.ts';

/** An adapter, or why there is none and what can be done, as sentences. */
export type Graphics =
  | { adapter: AdapterInfo; software: boolean }
  | { adapter?: never; software: false; reason: string; advice: string };

/** Asks for the fastest adapter. Never throws. */
export async function graphics(): Promise<Graphics> {
  if (!navigator.gpu) return without(whyNoWebGPU());
  const adapter = await navigator.gpu
    .requestAdapter({ powerPreference: 'high-performance' })
    .catch(() => null);
  if (!adapter) return without(whyNoAdapter());
  const software = isSoftware(adapter);
  return { adapter: adapterInfo(adapter, software), software };
}

function without([reason, advice]: [string, string]): Graphics {
  return { software: false, reason, advice };
}

/** What an adapter is called, as far as the browser tells. */
export function adapterName({ description, vendor, architecture }: GPUAdapterInfo): string {
  return description || [vendor, architecture].filter(Boolean).join(' ') || 'unnamed adapter';
}

function adapterInfo({ info, limits, features }: GPUAdapter, software: boolean): AdapterInfo {
  return {
    name: adapterName(info),
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
