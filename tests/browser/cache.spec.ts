import type { Page } from '@playwright/test';
import type { CachedWeights, LoadOptions } from '../../web/package/types.ts';
import { expect, expectFailure, type Failure, openBlank, test } from './support/fixture.ts';
import { SHIPPED, sha256 } from './support/models.ts';
import type { Server } from './support/server.ts';

const MEGABYTE = 1 << 20;

/** What of the model's file was asked for: the header `Range`, or the method. */
function asked({ received }: Server): string[] {
  return received
    .filter(({ path }) => path.endsWith('.bin'))
    .map(({ method, range }) => (method === 'GET' ? (range ?? 'all') : method));
}

interface Loaded {
  /** A digest of a feature, to tell whether the weights are right. */
  feature?: string;
  failure?: Failure | undefined;
  kept: CachedWeights[];
}

/** Loads a model and looks what is kept of it. */
function load(page: Page, url: string, options: LoadOptions = {}): Promise<Loaded> {
  return page.evaluate(
    async ([url, options]) => {
      const { MAE, cache } = window.webmae;
      let loaded: { feature: string } | undefined;
      const failure = await window.failure(
        MAE.load(url, options).then(async (mae) => {
          loaded = { feature: await window.digest(await mae.embed(window.picture(40, 40))) };
          await mae.close();
        }),
      );
      return { ...loaded, ...(failure && { failure }), kept: await cache.list() };
    },
    [url, options] as const,
  );
}

/** The file of the cache, changed in the middle. */
function corrupt(page: Page): Promise<void> {
  return page.evaluate(async () => {
    const root = await navigator.storage.getDirectory();
    for await (const [, folder] of root.entries()) {
      for await (const [, file] of (folder as FileSystemDirectoryHandle).entries()) {
        const handle = file as FileSystemFileHandle;
        const { size } = await handle.getFile();
        if (size < 1e6) continue;
        const writable = await handle.createWritable({ keepExistingData: true });
        await writable.write({ type: 'write', position: size / 2, data: new Uint8Array(64) });
        await writable.close();
      }
    }
  });
}

/** Starts the package with a worker whose storage is changed by `patch`. */
async function withStorage(page: Page, server: Server, patch: string): Promise<void> {
  const worker = `import '/patch.js'; import '/lib/js/worker.js';`;
  server.add('patch.js', { body: patch, type: 'text/javascript' });
  server.add('patched.js', { body: worker, type: 'text/javascript' });
  await page.evaluate(() => window.webmae.init({ worker: '/patched.js' }));
}

test('a file is downloaded once', async ({ page, server }) => {
  const url = server.add('model.bin', { body: SHIPPED });
  const { feature, kept } = await load(page, url);
  const whole = { url, bytes: SHIPPED.length, complete: true, sha256: sha256(SHIPPED) };
  expect(kept).toEqual([whole]);
  expect(asked(server)).toEqual(['all']);
  await openBlank(page, server);
  expect(await load(page, url)).toEqual({ feature, kept: [whole] });
  expect(asked(server)).not.toContain('all');
  // Without the network as well.
  server.resources.delete('/model.bin');
  expect((await load(page, url, { integrity: sha256(SHIPPED) })).feature).toBe(feature);
});

test('a download that broke off goes on where it was', async ({ page, server, allowed }) => {
  allowed.push(/Failed to load resource/);
  const { feature } = await load(page, 'tiny');
  const url = server.add('model.bin', { body: SHIPPED, cutAfter: 3 * MEGABYTE });
  const first = await load(page, url);
  expectFailure(first.failure, 'NetworkError', /model\.bin broke off/);
  const [part] = first.kept;
  expect(part).toMatchObject({ url, complete: false });
  expect(part?.bytes).toBeGreaterThan(0);
  expect(part?.bytes).toBeLessThanOrEqual(3 * MEGABYTE);

  server.add('model.bin', { body: SHIPPED });
  await openBlank(page, server);
  const second = await load(page, url);
  expect(second.feature).toBe(feature);
  expect(second.kept).toMatchObject([{ complete: true, sha256: sha256(SHIPPED) }]);
  expect(asked(server)).toEqual([`bytes=${part?.bytes}-`]);
});

test('a cancelled download goes on as well', async ({ page, server }) => {
  const url = server.add('model.bin', {
    body: SHIPPED,
    pauseAfter: { bytes: MEGABYTE, until: new Promise(() => {}) },
  });
  await page.evaluate(async (url) => {
    const controller = new AbortController();
    // What is told of was kept before.
    const onProgress = ({ done }: { done: number }) => done > 0 && controller.abort();
    await window.webmae.MAE.load(url, { signal: controller.signal, onProgress }).catch(() => {});
  }, url);
  const kept = () => page.evaluate(async () => (await window.webmae.cache.list())[0]?.bytes ?? 0);
  // The worker closes the file after the call was given up.
  await expect.poll(kept).toBeGreaterThan(0);
  const bytes = await kept();
  server.add('model.bin', { body: SHIPPED });
  server.received.length = 0;
  expect((await load(page, url)).feature).toBe((await load(page, 'tiny')).feature);
  expect(asked(server)[0]).toMatch(/bytes=\d+-/);
  expect(bytes).toBeLessThanOrEqual(MEGABYTE);
});

for (const [what, ranges, etag] of [
  ['the server has another file by now', true, '"another"'],
  ['the server does not know ranges', false, undefined],
  ['the server does not name versions', true, null],
] as const) {
  test(`a download begins anew where ${what}`, async ({ page, server, allowed }) => {
    allowed.push(/Failed to load resource/);
    const { feature } = await load(page, 'tiny');
    const first = { body: new Uint8Array(SHIPPED), cutAfter: 3 * MEGABYTE };
    if (etag) first.body.fill(1, MEGABYTE, 2 * MEGABYTE);
    const url = server.add('model.bin', { ...first, ...(etag === null && { etag }) });
    expectFailure((await load(page, url)).failure, 'NetworkError', /broke off/);
    server.add('model.bin', { body: SHIPPED, ranges, ...(etag !== undefined && { etag }) });
    const second = await load(page, url);
    expect(second.failure).toBeUndefined();
    expect(second.feature).toBe(feature);
    expect(second.kept).toMatchObject([{ complete: true, sha256: sha256(SHIPPED) }]);
  });
}

test('a file that the server has changed is downloaded again', async ({ page, server }) => {
  const other = new Uint8Array(SHIPPED);
  // Another picture embedding, still a model.
  other.copyWithin(other.length / 2, other.length / 2 + 4096, other.length / 2 + 8192);
  const url = server.add('model.bin', { body: other });
  const before = await load(page, url);
  server.add('model.bin', { body: SHIPPED });
  const after = await load(page, url);
  expect(after.feature).not.toBe(before.feature);
  expect(after.kept).toMatchObject([{ sha256: sha256(SHIPPED) }]);
});

test('a corrupt file of the cache is thrown away', async ({ page, server }) => {
  const url = server.add('model.bin', { body: SHIPPED });
  const { feature, kept } = await load(page, url);
  await corrupt(page);
  server.received.length = 0;
  expect(await load(page, url)).toEqual({ feature, kept });
  expect(asked(server)).toContain('all');
});

test('the cache is listed, cut and cleared', async ({ page, server }) => {
  const urls = ['a.bin', 'b.bin', 'c.bin'].map((name) => server.add(name, { body: SHIPPED }));
  for (const url of urls) await load(page, url);
  const seen = await page.evaluate(async ([a, b, c]) => {
    const { MAE, cache } = window.webmae;
    const list = async () => (await cache.list()).map(({ url }) => url);
    const all = await list();
    await (await MAE.load(a as string)).close();
    const used = await list();
    const deleted = [
      await cache.delete(b as string),
      await cache.delete(b as string),
      // An address as `fetch` would see it.
      await cache.delete('c.bin'),
      await cache.delete('none.bin'),
    ];
    const left = await list();
    await cache.clear();
    return { all, used, deleted, left, cleared: await list(), c };
  }, urls);
  const [a, b, c] = urls;
  expect(seen.all).toEqual([c, b, a]);
  expect(seen.used).toEqual([a, c, b]);
  expect(seen.deleted).toEqual([true, false, true, false]);
  expect(seen.left).toEqual([a]);
  expect(seen.cleared).toEqual([]);
});

test('nothing is kept where that is not wanted', async ({ page, server }) => {
  const url = server.add('model.bin', { body: SHIPPED });
  const first = await load(page, url, { cache: false });
  expect(first.feature).toBeTruthy();
  expect(first.kept).toEqual([]);
  expect((await load(page, 'tiny')).kept).toEqual([]);
});

test('a file without a length is loaded and kept', async ({ page, server }) => {
  const url = server.add('model.bin', { body: SHIPPED, chunked: true });
  const { feature, kept } = await load(page, url);
  expect(feature).toBeTruthy();
  expect(kept).toMatchObject([{ bytes: SHIPPED.length, complete: true }]);
});

test('weights of another site are loaded and kept', async ({ page, server }) => {
  server.add('model.bin', { body: SHIPPED });
  const { feature, kept } = await load(page, `${server.elsewhere}/model.bin`);
  expect(feature).toBeTruthy();
  expect(kept).toMatchObject([{ complete: true }]);
});

test('without storage, weights come straight from the network', async ({ page, server }) => {
  await withStorage(
    page,
    server,
    'navigator.storage.getDirectory = () => Promise.reject(new Error("no"));',
  );
  const url = server.add('model.bin', { body: SHIPPED });
  const { feature, failure } = await load(page, url);
  expect(failure).toBeUndefined();
  expect(feature).toBe((await load(page, 'tiny')).feature);
  const { failure: insisted } = await load(page, url, { cache: true });
  expectFailure(insisted, 'QuotaExceeded', /cannot be kept/);
});

test('the least recently used files make room', async ({ page, server }) => {
  const urls = ['a.bin', 'b.bin', 'c.bin'].map((name) => server.add(name, { body: SHIPPED }));
  const [a, b, c] = urls as [string, string, string];
  const room = 2.5 * SHIPPED.length;
  await withStorage(
    page,
    server,
    `
    const estimate = navigator.storage.estimate.bind(navigator.storage);
    navigator.storage.estimate = async () => ({ ...(await estimate()), quota: ${room} });`,
  );
  await load(page, a);
  await load(page, b);
  await load(page, a);
  expect((await load(page, c)).kept.map(({ url }) => url)).toEqual([c, a]);
});

test('weights that do not fit into the cache are loaded all the same', async ({ page, server }) => {
  await withStorage(
    page,
    server,
    'navigator.storage.estimate = async () => ({ quota: 5e6, usage: 1e6 });',
  );
  const url = server.add('model.bin', { body: SHIPPED });
  const { feature, kept } = await load(page, url);
  expect(feature).toBeTruthy();
  expect(kept.filter(({ complete }) => complete)).toEqual([]);
  const { failure } = await load(page, url, { cache: true });
  expectFailure(failure, 'QuotaExceeded', /model\.bin cannot be kept.*(MB|bytes)/);
});
