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

test('a lost device is told, and a new one goes on from the last save', async ({ page }) => {
  const seen = await page.evaluate(async (small) => {
    const { MAE, Trainer, loseDevice, memory } = window.webmae;
    const image = window.picture(96, 96);
    const mae = await MAE.load('tiny');
    const feature = await window.digest(await mae.embed(image));
    const trainer = await Trainer.create({ ...small, images: [image] });
    const losses: number[] = [];
    for await (const { loss } of trainer.run(3)) losses.push(loss);
    const saved = trainer.lastSave !== undefined;

    const running = trainer.run(1000);
    await running.next();
    const pending = [mae.reconstruct(image, { seed: 9 }), running.next()].map(window.failure);
    await loseDevice();
    const rejected = await Promise.all(pending);
    // The run may have had a step at hand.
    const ended = await window.failure(
      (async () => {
        for await (const _ of running);
      })(),
    );
    const later = await Promise.all(
      [mae.embed(image), mae.attention(image), trainer.step(), trainer.save()].map(window.failure),
    );
    const { lastSave } = trainer;
    await mae.close();
    await trainer.close();
    const empty = await memory();

    const again = await MAE.load('tiny');
    const sameFeature = (await window.digest(await again.embed(image))) === feature;
    const resumed = await Trainer.resume(lastSave as Uint8Array, { images: [image] });
    const from = resumed.info.step;
    const { step } = await resumed.step();
    const use = await memory();
    await again.close();
    await resumed.close();
    return { saved, rejected, ended, later, empty, sameFeature, from, step, use };
  }, SMALL);
  expect(seen.saved).toBe(true);
  expectFailure(seen.rejected[0], 'DeviceLost', /lost/);
  expectFailure(seen.rejected[1] ?? seen.ended, 'DeviceLost', /lost/);
  for (const failure of seen.later) expectFailure(failure, 'DeviceLost', /lost/);
  expect(seen.empty).toMatchObject({ device: 0, open: 0 });
  expect(seen.sameFeature).toBe(true);
  expect(seen.from).toBeGreaterThanOrEqual(3);
  expect(seen.step).toBe(seen.from + 1);
  expect(seen.use).toMatchObject({ open: 2 });
});
