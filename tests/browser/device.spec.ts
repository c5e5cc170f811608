import { expect, expectFailure, test } from './support/fixture.ts';

test('without WebGPU models run on the processor, and the package says why', async ({
  page,
  server,
}) => {
  const modules: string[] = [];
  page.context().on('request', (request) => {
    if (request.url().endsWith('.wasm')) modules.push(new URL(request.url()).pathname);
  });
  const seen = await page.evaluate(async () => {
    const { MAE, Trainer, support } = window.webmae;
    const image = window.picture(96, 96);
    const mae = await MAE.load('tiny');
    const { loss } = await mae.reconstruct(image);
    const trainer = await Trainer.create({ batchSize: 1, images: [image] });
    const { step } = await trainer.step();
    const devices = [mae.info.device, trainer.info.device];
    await mae.close();
    await trainer.close();
    return { support: await support(), loss, step, devices };
  });
  expect(seen.support).toMatchObject({ device: 'cpu', webgpu: false, software: false });
  expect(seen.support.adapter).toBeUndefined();
  expect(seen.support.why).toMatch(/WebGPU.*\.$/);
  expect(seen.support.advice).toMatch(/\.$/);
  expect(seen.devices).toEqual(['cpu', 'cpu']);
  expect(seen.loss).toBeGreaterThan(0);
  expect(seen.step).toBe(1);
  // Chromium has relaxed SIMD; nothing else is downloaded.
  expect(modules).toEqual(['/lib/wasm/webmae_cpu_relaxed_bg.wasm']);
  expect(server.received).toEqual([]);
});

test('WebGPU that is asked for and not there is an error', async ({ page }) => {
  const seen = await page.evaluate(async () => {
    const { MAE, Trainer, cache, memory, support } = window.webmae;
    const device = 'webgpu';
    return {
      support: await support(device),
      load: await window.failure(MAE.load('tiny', { device })),
      create: await window.failure(Trainer.create({ device, images: [window.picture(8, 8)] })),
      other: await window.failure(MAE.load('tiny', { device: 'gpu' as 'webgpu' })),
      kept: await cache.list(),
      open: (await memory()).open,
    };
  });
  expect(seen.support.device).toBeUndefined();
  expectFailure(seen.load, 'WebGPUUnavailable', /WebGPU|adapter/);
  expectFailure(seen.create, 'WebGPUUnavailable', /WebGPU|adapter/);
  expectFailure(seen.other, 'InvalidOption', /gpu/);
  expect(seen.kept).toEqual([]);
  expect(seen.open).toBe(0);
});
