import { test as base, expect, type Page } from '@playwright/test';
import { Server } from './server';

declare global {
  interface Window {
    webmae: typeof import('../../../web/lib/index');
  }
}

/** A page that has nothing but the built package, as `window.webmae`. */
const BLANK = `<!doctype html>
<html lang="en">
  <head>
    <meta charset="utf-8">
    <title>webmae</title>
    <link rel="icon" href="data:,">
  </head>
  <body>
    <script type="module">
      import * as webmae from '/lib/js/index.js';
      window.webmae = webmae;
    </script>
  </body>
</html>`;

interface Fixtures {
  /** Opens on the blank page; an error in its console fails the test. */
  page: Page;
  /** Errors of the console that a test brings about. */
  allowed: RegExp[];
}

export const test = base.extend<Fixtures, { server: Server }>({
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
  page: async ({ page, server, allowed }, use) => {
    const errors: string[] = [];
    page.on('console', (message) => message.type() === 'error' && errors.push(message.text()));
    page.on('pageerror', (error) => errors.push(String(error)));
    server.clear();
    server.add('', { body: BLANK, type: 'text/html' });
    await page.goto(server.origin);
    await page.waitForFunction(() => 'webmae' in window);
    server.received.length = 0;
    await use(page);
    const unexpected = errors.filter((text) => !allowed.some((pattern) => pattern.test(text)));
    expect(unexpected, 'the console stays without errors').toEqual([]);
  },
});

export { expect };
