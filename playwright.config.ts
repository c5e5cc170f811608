import { defineConfig } from '@playwright/test';
import { args, executablePath } from './web/build/chromium.mjs';
import type { DeviceChoice } from './web/package/types.ts';

/** Of WebGPU alone. */
const SHADERS = [
  'kernels.spec.ts',
  'lost.spec.ts',
  'page-measure.spec.ts',
  'page-precision.spec.ts',
];
/** On either device; what is not named here has nothing to do with it, and runs on the processor. */
const BOTH = [
  'golden.spec.ts',
  'lifecycle.spec.ts',
  'model.spec.ts',
  'trainer.spec.ts',
  'page-check.spec.ts',
  'page-device.spec.ts',
];

export default defineConfig<{ device: DeviceChoice }>({
  testDir: 'tests/browser',
  // One device, often a processor: tests that share it measure each other.
  workers: 1,
  timeout: 180_000,
  expect: { timeout: 60_000 },
  forbidOnly: true,
  reporter: [['list'], ['json', { outputFile: 'test-results/report.json' }]],
  use: {
    baseURL: 'http://localhost:4173',
    trace: 'retain-on-failure',
  },
  projects: [
    {
      name: 'cpu',
      testIgnore: SHADERS,
      use: { launchOptions: { executablePath: executablePath(), args: args('none') } },
    },
    {
      name: 'webgpu',
      testMatch: [...SHADERS, ...BOTH],
      use: {
        device: 'webgpu',
        launchOptions: { executablePath: executablePath(), args: args('swiftshader') },
      },
    },
  ],
  webServer: {
    command: 'npx vite preview --port 4173 --strictPort',
    url: 'http://localhost:4173',
    // One that runs already may serve another build.
    reuseExistingServer: false,
  },
});
