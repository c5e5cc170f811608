import type { TrainerOptions } from '../../web/package/index.ts';
import { expect, expectFailure, test } from './support/fixture.ts';

const SMALL: TrainerOptions = {
  config: {
    image_size: [16, 16],
    patch_size: [4, 4],
    encoder: { dim: 32, depth: 1, heads: 2, dim_head: 16, mlp_dim: 64 },
    decoder: { dim: 32, depth: 1, heads: 2, dim_head: 16, mlp_dim: 64 },
  },
  batchSize: 2,
};

test('opening and closing ten times leaves nothing behind', async ({ page }) => {
  test.slow();
  const uses = await page.evaluate(async (small) => {
    const { MAE, Trainer, memory } = window.webmae;
    const image = window.picture(96, 96);
    const uses = [await memory()];
    for (let i = 0; i < 10; i++) {
      const mae = await MAE.load('tiny');
      await mae.reconstruct(image, { seed: i, maskRatio: 0.5 + i / 100 });
      await mae.embed(image);
      await mae.attention(image);
      const trainer = await Trainer.create({ ...small, images: [image] });
      await trainer.step();
      await trainer.save();
      await mae.close();
      await mae.close();
      await trainer.close();
      uses.push(await memory());
    }
    return uses;
  }, SMALL);
  expect(uses[0]).toEqual({ device: 0, heap: 0, open: 0 });
  for (const { device, open } of uses) expect([device, open]).toEqual([0, 0]);
  // The heap never shrinks; it has its size after the first rounds.
  expect(uses[10]?.heap).toBe(uses[3]?.heap);
  expect(uses[10]?.heap).toBeLessThan(100e6);
});

test('several models and trainers work side by side', async ({ page }) => {
  const seen = await page.evaluate(async (small) => {
    const { MAE, Trainer, memory } = window.webmae;
    const image = window.picture(96, 96);
    const [first, second, trainer] = await Promise.all([
      MAE.load('tiny'),
      MAE.load('tiny'),
      Trainer.create({ ...small, images: [image] }),
    ]);
    const use = await memory();
    const [a, b, c, step, e] = await Promise.all([
      first.embed(image),
      second.embed(image),
      first.reconstruct(image),
      trainer.step(),
      second.reconstruct(image),
    ]);
    await first.close();
    const still = await second.embed(image);
    await second.close();
    await trainer.close();
    return {
      use,
      features: await Promise.all([a, b, still].map((feature) => window.digest(feature))),
      losses: [c.loss, e.loss],
      step: step.step,
    };
  }, SMALL);
  expect(seen.use.open).toBe(3);
  expect(seen.use.device).toBeGreaterThan(1e6);
  expect(new Set(seen.features).size).toBe(1);
  expect(new Set(seen.losses).size).toBe(1);
  expect(seen.step).toBe(1);
});

test('what was closed says so, and waits for calls under way', async ({ page }) => {
  const seen = await page.evaluate(async (small) => {
    const { MAE, Trainer } = window.webmae;
    const image = window.picture(20, 20);
    const mae = await MAE.load('tiny');
    const late = window.failure(mae.embed(image));
    await mae.close();
    const trainer = await Trainer.create({ ...small, images: [image] });
    await trainer.close();
    const calls = {
      embed: mae.embed(image),
      reconstruct: mae.reconstruct(image),
      attention: mae.attention(image),
      step: trainer.step(),
      run: trainer.run(2).next(),
      save: trainer.save(),
      export: trainer.exportWeights(),
      add: trainer.addImages([image]),
      clear: trainer.clearImages(),
    };
    const failures: Record<string, Awaited<ReturnType<typeof window.failure>>> = {};
    for (const [name, call] of Object.entries(calls)) failures[name] = await window.failure(call);
    return { late: await late, failures };
  }, SMALL);
  expect(seen.late).toBeUndefined();
  for (const failure of Object.values(seen.failures)) expectFailure(failure, 'Closed', /closed/);
});

test('calls are cancelled, and later ones answered', async ({ page }) => {
  const seen = await page.evaluate(async () => {
    const mae = await window.webmae.MAE.load('tiny');
    const image = window.picture(96, 96);
    const controller = new AbortController();
    const { signal } = controller;
    const calls = [
      mae.reconstruct(image, { signal, seed: 1 }),
      mae.embed(image, { signal }),
      mae.attention(image, 0, { signal }),
    ].map((call: Promise<unknown>) => call.catch((reason) => reason));
    controller.abort('enough');
    const began = performance.now();
    const reasons = await Promise.all(calls);
    const waited = performance.now() - began;
    const { loss } = await mae.reconstruct(image);
    const before = await mae.embed(image, { signal }).catch((reason) => reason);
    await mae.close();
    return { reasons, waited, loss, before };
  });
  expect(seen.reasons).toEqual(['enough', 'enough', 'enough']);
  expect(seen.waited).toBeLessThan(100);
  expect(seen.loss).toBeGreaterThan(0);
  expect(seen.before).toBe('enough');
});

test('the page stays free while the worker works', async ({ page }) => {
  const seen = await page.evaluate(async (small) => {
    const { MAE, Trainer } = window.webmae;
    const image = window.picture(1200, 900);
    const blob = await new OffscreenCanvas(1200, 900).convertToBlob().catch(() => new Blob());
    const element = document.createElement('canvas');
    [element.width, element.height] = [1200, 900];
    element.getContext('2d')?.putImageData(image, 0, 0);
    await new Promise((resolve) => setTimeout(resolve, 500));

    const tasks: number[] = [];
    const observer = new PerformanceObserver((list) => {
      for (const { duration } of list.getEntries()) tasks.push(duration);
    });
    observer.observe({ type: 'longtask' });
    let beats = 0;
    const heart = setInterval(() => beats++, 10);
    const began = performance.now();
    const mae = await MAE.load('tiny');
    await mae.reconstruct(element);
    await mae.reconstruct(image, { seed: 2 });
    if (blob.size > 0) await mae.embed(blob);
    await mae.attention(image);
    const trainer = await Trainer.create({ ...small, images: [element] });
    for await (const _ of trainer.run(5));
    await trainer.save();
    await mae.close();
    await trainer.close();
    const elapsed = performance.now() - began;
    clearInterval(heart);
    observer.disconnect();
    return { tasks, beats, elapsed };
  }, SMALL);
  expect(seen.tasks).toEqual([]);
  expect(seen.beats).toBeGreaterThan(seen.elapsed / 40);
});

test('WebAssembly comes from where init says', async ({ page, device, server }) => {
  const seen = await page.evaluate(async (device) => {
    const { MAE, init, memory } = window.webmae;
    const [wasm, cpu] = await Promise.all(
      ['webmae_bg', 'webmae_cpu_bg'].map(async (name) =>
        (await fetch(`/lib/wasm/${name}.wasm`)).arrayBuffer(),
      ),
    );
    await init({ wasm: wasm as ArrayBuffer, wasmCpu: new Uint8Array(cpu as ArrayBuffer), device });
    const { heap } = await memory();
    const late = await window.failure(init({ wasm: 'elsewhere.wasm' }));
    await init();
    const mae = await MAE.load('tiny');
    await mae.close();
    return { heap, late };
  }, device);
  expect(seen.heap).toBeGreaterThan(0);
  expectFailure(seen.late, 'InvalidOption', /before/);
  expect(server.received).toEqual([]);
});

test('says when the package is not whole', async ({ page, device, allowed }) => {
  allowed.push(/404|Failed to load|MIME/);
  const failure = await page.evaluate((device) => {
    const none = '/none/nothing.wasm';
    return window.failure(window.webmae.init({ wasm: none, wasmCpu: none, device }));
  }, device);
  expectFailure(failure, 'NetworkError', /webmae\w*_bg\.wasm/);
  await page.reload();
  await page.waitForFunction(() => 'failure' in window);
  const worker = await page.evaluate(() =>
    window.failure(window.webmae.init({ worker: '/none/worker.js' })),
  );
  expectFailure(worker, 'NetworkError', /worker\.js/);
});
