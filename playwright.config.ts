import { defineConfig } from '@playwright/test';
import { args, executablePath } from './web/build/chromium.mjs';

export default defineConfig({
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
    launchOptions: {
      executablePath: executablePath(),
      args: args('swiftshader'),
    },
  },
  webServer: {
    command: 'npx vite preview --port 4173 --strictPort',
    url: 'http://localhost:4173',
    // One that runs already may serve another build.
    reuseExistingServer: false,
  },
});
