import { adapterName } from '../../package/graphics.ts';
import type { Here } from './report.ts';

/** `NavigatorUAData`, which Chromium has. */
interface UserAgentData {
  getHighEntropyValues(hints: string[]): Promise<{
    platform?: string;
    architecture?: string;
    bitness?: string;
    fullVersionList?: { brand: string; version: string }[];
  }>;
}

/** What the browser tells of itself, the machine and the adapter that WebAssembly gets. */
export async function here(): Promise<Here> {
  const adapter = await navigator.gpu.requestAdapter({ powerPreference: 'high-performance' });
  if (!adapter) throw new Error('The browser offers no graphics adapter any more.');
  const { vendor, architecture, device, description, subgroupMinSize, subgroupMaxSize } =
    adapter.info;
  return {
    system: await system(),
    adapter: {
      name: adapterName(adapter.info),
      vendor,
      architecture,
      device,
      description,
      subgroup_sizes: subgroupMaxSize ? [subgroupMinSize, subgroupMaxSize] : null,
    },
  };
}

async function system(): Promise<Here['system']> {
  const { userAgent, hardwareConcurrency: threads } = navigator;
  const { userAgentData } = navigator as { userAgentData?: UserAgentData };
  if (!userAgentData) return { os: '', architecture: '', threads, browser: userAgent };
  const hints = ['architecture', 'bitness', 'fullVersionList', 'platform'];
  const told = await userAgentData.getHighEntropyValues(hints);
  const brands = told.fullVersionList ?? [];
  // Some brands are there only to confuse those that compare them, and Chromium is part of all others.
  const named = brands.filter(({ brand }) => !/not.*brand/i.test(brand));
  const own = named.find(({ brand }) => brand !== 'Chromium') ?? named[0];
  return {
    os: told.platform ?? '',
    architecture: [told.architecture, told.bitness].filter(Boolean).join('-'),
    threads,
    browser: own ? `${own.brand} ${own.version}` : userAgent,
  };
}
