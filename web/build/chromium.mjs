// The Chromium that tests and measurements run in.

import { spawnSync } from 'node:child_process';

/** Path of an installed Chromium or Chrome: `CHROME`, or by name. */
export function executablePath() {
  if (process.env.CHROME) return process.env.CHROME;
  const names = ['chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable'];
  for (const name of names) {
    const found = spawnSync('which', [name], { encoding: 'utf8' });
    if (found.status === 0) return found.stdout.trim();
  }
  throw new Error('Chromium or Chrome was not found: install it, or name it in CHROME');
}

/** Arguments for runs of their own. `adapter` is the WebGPU adapter, `swiftshader` the one on the processor, `none` a
 * browser without WebGPU; without it Chromium chooses. */
export function args(adapter) {
  return [
    ...(process.getuid?.() === 0 ? ['--no-sandbox'] : []),
    '--disable-quic',
    '--no-first-run',
    '--disable-background-networking',
    '--disable-component-update',
    '--disable-sync',
    ...(adapter === 'none'
      ? ['--disable-features=WebGPU,WebGPUService']
      : ['--enable-unsafe-webgpu']),
    ...(adapter && adapter !== 'none' ? [`--use-webgpu-adapter=${adapter}`] : []),
  ];
}
