import type { Page } from '@playwright/test';
import type { Progress } from '../../web/package/index.ts';
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
