import type { Page } from '@playwright/test';
import type { Progress, TrainerOptions } from '../../web/package/index.ts';
import { expect, test } from './support/fixture.ts';

declare global {
  /** In the worker: kernels that the browser was asked for in each way. */
  var asked: { sync: number; async: number };
}

/** Starts the worker and counts from then on how it asks for kernels; `refused` of those that it asks for
 * asynchronously are not compiled. */
async function count(page: Page, refused = 0) {
  await page.evaluate(() => window.webmae.init());
  const worker = page.workers()[0];
  if (!worker) throw new Error('the package has no worker');
  await worker.evaluate((refused) => {
    globalThis.asked = { sync: 0, async: 0 };
    const { createComputePipeline, createComputePipelineAsync } = GPUDevice.prototype;
    GPUDevice.prototype.createComputePipeline = function (descriptor) {
      asked.sync += 1;
      return createComputePipeline.call(this, descriptor);
    };
    GPUDevice.prototype.createComputePipelineAsync = function (descriptor) {
      asked.async += 1;
      if (asked.async <= refused) return Promise.reject(new Error('refused'));
      return createComputePipelineAsync.call(this, descriptor);
    };
  }, refused);
  return () => worker.evaluate(() => globalThis.asked);
}

/** Checks that all kernels were counted, one by one or in larger steps; returns how many there were. */
function counted(progress: Progress[]): number {
  const kernels = progress.filter(({ stage }) => stage === 'kernels');
  const done = kernels.map(({ done }) => done);
  const { total = 0 } = kernels.at(-1) ?? {};
  expect(done).toEqual(done.toSorted((a, b) => a - b));
  expect(done.at(-1)).toBe(total);
  expect(kernels.every((one) => one.total === total)).toBe(true);
  return total;
}

test('kernels are compiled asynchronously, once, and counted', async ({ page }) => {
  const asked = await count(page);
  const model = await page.evaluate(async () => {
    const loading: Progress[] = [];
    const model = await window.webmae.MAE.load('tiny', {
      onProgress: (progress) => loading.push(progress),
    });
    const image = window.picture(96, 96);
    const calls: Record<string, Progress[]> = { drawn: [], again: [], given: [] };
    const options = (name: string) => ({
      onProgress: (progress: Progress) => calls[name]?.push(progress),
    });
    await model.reconstruct(image, options('drawn'));
    await model.reconstruct(image, { maskRatio: 0.5, ...options('again') });
    const mask = Array.from({ length: 144 }, (_, i) => i % 2);
    await model.reconstruct(image, { mask, ...options('given') });
    await model.close();
    return { loading, calls };
  });
  const compiled = counted(model.loading);
  expect(compiled).toBeGreaterThan(8);
  const stages = model.loading.map(({ stage }) => stage);
  expect(stages.lastIndexOf('download')).toBeLessThan(stages.indexOf('kernels'));
  // What loading prepares is what a reconstruction needs.
  expect(model.calls).toMatchObject({ drawn: [], again: [] });
  expect(await asked()).toEqual({ sync: 0, async: compiled });

  const training = await page.evaluate(async () => {
    const progress: Progress[] = [];
    const trainer = await window.webmae.Trainer.create({
      batchSize: 1,
      images: [window.picture(40, 40), window.picture(32, 40)],
      onProgress: (now) => progress.push(now),
    });
    await trainer.step();
    await trainer.close();
    return progress;
  });
  const added = counted(training);
  expect(added).toBeGreaterThan(8);
  expect(training.filter(({ stage }) => stage === 'images')).toHaveLength(2);
  expect(await asked()).toEqual({ sync: 0, async: compiled + added });
});

test('kernels that are refused are compiled when they run', async ({ page }) => {
  const asked = await count(page, 1e6);
  const loss = await page.evaluate(async () => {
    const model = await window.webmae.MAE.load('tiny');
    const { loss } = await model.reconstruct(window.picture(96, 96));
    await model.close();
    return loss;
  });
  expect(loss).toBeGreaterThan(0);
  expect((await asked()).sync).toBeGreaterThan(8);
});

/** Enough for products that are worth measuring. */
const TUNED = {
  config: {
    image_size: [32, 32],
    encoder: { dim: 96, depth: 1, heads: 2, dim_head: 48, mlp_dim: 384 },
    decoder: { dim: 96, depth: 1, heads: 2, dim_head: 48, mlp_dim: 384 },
  },
  batchSize: 8,
  steps: 1000,
} satisfies TrainerOptions;

test('products are measured between the first steps, and divided as suits', async ({ page }) => {
  // Nobody waits for a driver in software to be measured: it must not be known as such before it is asked for.
  const disguised = page.waitForEvent('worker').then((worker) =>
    worker.evaluate(() => {
      const info = { vendor: 'test', architecture: '', device: '', description: 'a GPU' };
      Object.defineProperty(GPUAdapter.prototype, 'info', { get: () => info });
    }),
  );
  await page.evaluate(() => window.webmae.init());
  await disguised;
  const kept = async () => {
    const root = await navigator.storage.getDirectory();
    const folder = await root.getDirectoryHandle('webmae-tiles', { create: true });
    const texts = [];
    for await (const file of folder.values()) {
      if (file instanceof FileSystemFileHandle) texts.push(await (await file.getFile()).text());
    }
    return texts;
  };
  const losses = await page.evaluate(async (options) => {
    const trainer = await window.webmae.Trainer.create({
      ...options,
      images: [window.picture(40, 40)],
    });
    const losses = [];
    const began = performance.now();
    const root = await navigator.storage.getDirectory();
    const folder = await root.getDirectoryHandle('webmae-tiles', { create: true });
    const isKept = async () => {
      for await (const _ of folder.keys()) return true;
      return false;
    };
    while (!(await isKept()) && performance.now() - began < 150_000) {
      losses.push((await trainer.step()).loss);
      // Not every measurement waits for a step.
      await new Promise((resolve) => setTimeout(resolve, 500));
    }
    for (let i = 0; i < 3; i++) losses.push((await trainer.step()).loss);
    await trainer.close();
    return losses;
  }, TUNED);
  expect(losses.length).toBeGreaterThan(10);
  expect(losses.every(Number.isFinite)).toBe(true);
  expect(losses.at(-1)).toBeLessThan(losses[0] as number);
  const [text = '{}'] = await page.evaluate(kept);
  const { chosen, refused } = JSON.parse(text);
  expect(chosen.length).toBeGreaterThan(5);
  expect(refused).toEqual([]);
});
