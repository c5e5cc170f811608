import { test as base, expect, type Page } from '@playwright/test';
import type { DeviceChoice } from '../../../web/package/types.ts';
import { withoutErrors } from './console.ts';
import { Server } from './server.ts';

/** How a call failed. */
export interface Failure {
  name: string;
  message: string;
  /** Whether it is of the package's class of that name. */
  typed: boolean;
}

declare global {
  /** The blank page's helpers, see `harness.js`. */
  interface Window {
    webmae: typeof import('../../../web/package/index.ts');
    picture(width: number, height: number): ImageData;
    failure(promise: Promise<unknown>): Promise<Failure | undefined>;
    digest(array: ArrayBufferView): Promise<string>;
  }
}

/** A page that has nothing but the built package. */
const blank = (device: string) => `<!doctype html>
<html lang="en" data-device="${device}">
  <meta charset="utf-8">
  <title>webmae</title>
  <link rel="icon" href="data:,">
  <script type="module" src="/tests/browser/support/harness.js"></script>
</html>`;

interface Fixtures {
  /** What models run on where a test does not say it. */
  device: DeviceChoice;
  /** Opens on the blank page; an error in its console fails the test. */
  page: Page;
  /** Errors of the console that a test brings about. */
  allowed: RegExp[];
}

export const test = base.extend<Fixtures, { server: Server }>({
  device: ['auto', { option: true }],
  server: [
    // biome-ignore lint/correctness/noEmptyPattern: Playwright reads the parameters' names.
    async ({}, use) => {
      const server = new Server('.');
      await server.start();
      await use(server);
      await server.stop();
    },
    { scope: 'worker' },
  ],
  // biome-ignore lint/correctness/noEmptyPattern: Playwright reads the parameters' names.
  allowed: async ({}, use) => use([]),
  page: ({ page, device, server, allowed }, use) =>
    withoutErrors(
      page,
      async () => {
        server.clear();
        server.add('', { body: blank(device), type: 'text/html' });
        await openBlank(page, server);
        await use(page);
      },
      allowed,
    ),
});

export { expect };

/** Opens the blank page, anew if it is open. */
export async function openBlank(page: Page, server: Server): Promise<void> {
  await page.goto(server.origin);
  await page.waitForFunction(() => 'failure' in window);
  server.received.length = 0;
}

/** Checks that a call failed with an error of the package whose message matches. */
export function expectFailure(failure: Failure | undefined, name: string, message: RegExp): void {
  expect(failure).toEqual({ name, message: expect.stringMatching(message), typed: true });
}
