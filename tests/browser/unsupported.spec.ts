import config from '../../playwright.config.ts';
import { expect, expectFailure, test } from './support/fixture.ts';

const { executablePath = '', args = [] } = config.use?.launchOptions ?? {};

test.use({
  launchOptions: {
    executablePath,
    args: [
      ...args.filter((arg) => !arg.includes('webgpu')),
      '--disable-features=WebGPU,WebGPUService',
    ],
  },
});

test('without WebGPU the package says why and what to do', async ({ page }) => {
  const seen = await page.evaluate(async () => {
    const { MAE, Trainer, cache, memory, support } = window.webmae;
    return {
      support: await support(),
      load: await window.failure(MAE.load('tiny')),
      create: await window.failure(Trainer.create({ images: [window.picture(8, 8)] })),
      kept: await cache.list(),
      open: (await memory()).open,
    };
  });
  expect(seen.support).toMatchObject({ webgpu: false, software: false, cache: 'opfs' });
  expect(seen.support.adapter).toBeUndefined();
  const { reason = '', advice = '' } = seen.support;
  expect(reason).toMatch(/WebGPU.*\.$/);
  expect(advice).toMatch(/\.$/);
  expectFailure(seen.load, 'WebGPUUnavailable', /WebGPU|adapter/);
  expectFailure(seen.create, 'WebGPUUnavailable', /WebGPU|adapter/);
  expect(seen.kept).toEqual([]);
  expect(seen.open).toBe(0);
});
