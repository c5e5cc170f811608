import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { Trainer as TrainerOfPage, TrainerOptions } from '../../web/package/index.ts';
import { webmae } from './support/command.ts';
import { expect, expectFailure, test } from './support/fixture.ts';
import {
  readTensors,
  type Tensor,
  type TensorFile,
  tensorDigests,
  writeTensors,
} from './support/safetensors.ts';

/** Small enough for many steps on a processor. */
const SMALL: TrainerOptions = {
  config: {
    image_size: [16, 16],
    patch_size: [4, 4],
    encoder: { dim: 32, depth: 2, heads: 2, dim_head: 16, mlp_dim: 64 },
    decoder: { dim: 32, depth: 1, heads: 2, dim_head: 16, mlp_dim: 64 },
  },
  batchSize: 4,
  steps: 40,
  seed: 7,
};

test('training lowers the loss', async ({ page }) => {
  const seen = await page.evaluate(async (options) => {
    const images = [20, 24, 28, 32].map((side) => window.picture(side, 20));
    const progress: string[] = [];
    const trainer = await window.webmae.Trainer.create({
      ...options,
      images,
      onProgress: ({ stage, done, total }) => progress.push(`${stage} ${done}/${total}`),
    });
    const before = trainer.info;
    const metrics = [];
    for await (const step of trainer.run()) metrics.push(step);
    const end = trainer.info;
    const { loss } = await trainer.reconstruct(images[0] as ImageData);
    await trainer.close();
    return { before, end, metrics, loss, progress };
  }, SMALL);
  expect(seen.before).toMatchObject({
    grid: [4, 4],
    step: 0,
    totalSteps: 40,
    batchSize: 4,
    gradAccum: 1,
    recompute: false,
    precision: 'f32',
    seed: 7,
    images: 4,
  });
  expect(seen.before.parameters).toBeGreaterThan(10_000);
  expect(seen.before.flopsPerStep).toBeGreaterThan(0);
  expect(seen.before.deviceBytes).toBeGreaterThan(0);
  const images = seen.progress.filter((line) => line.startsWith('images'));
  expect(images).toEqual(['images 1/4', 'images 2/4', 'images 3/4', 'images 4/4']);
  expect(seen.metrics.map(({ step }) => step)).toEqual(Array.from({ length: 40 }, (_, i) => i + 1));
  const losses = seen.metrics.map(({ loss }) => loss);
  const mean = (values: number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;
  expect(mean(losses.slice(-5))).toBeLessThan(0.8 * mean(losses.slice(0, 5)));
  for (const { lr, gradNorm, applied, milliseconds, imagesPerSecond } of seen.metrics) {
    expect([lr, gradNorm, milliseconds, imagesPerSecond].every(Number.isFinite)).toBe(true);
    expect(applied).toBe(true);
  }
  expect(seen.end.step).toBe(40);
  expect(seen.loss).toBeGreaterThan(0);
});

test('a resumed run goes on bit for bit, its moving average too', async ({ page }) => {
  const seen = await page.evaluate(
    async (options) => {
      const { Trainer } = window.webmae;
      const images = [20, 24, 28, 32, 36].map((side) => window.picture(side, 24));
      const steps = async (trainer: TrainerOfPage, n: number) => {
        const losses: number[] = [];
        for await (const { loss } of trainer.run(n)) losses.push(loss);
        return losses;
      };
      const through = await Trainer.create({ ...options, images });
      const losses = await steps(through, 6);
      const end = await through.save();
      await through.close();

      const first = await Trainer.create({ ...options, images });
      const early = await steps(first, 3);
      const saved = await first.save();
      await first.close();
      const second = await Trainer.resume(saved, { images });
      const { step } = second.info;
      const late = await steps(second, 3);
      const resumed = await second.save();
      await second.close();
      return { losses, early, step, late, end, resumed };
    },
    { ...SMALL, ema: 0.9 },
  );
  expect(seen.step).toBe(3);
  expect([...seen.early, ...seen.late]).toEqual(seen.losses);
  const tensors = tensorDigests(seen.end);
  expect(tensors['ema/patch_embed.proj.weight']).not.toBe(tensors['param/patch_embed.proj.weight']);
  expect(tensorDigests(seen.resumed)).toEqual(tensors);
});

test('values are dropped in training, the same ones whenever it is repeated', async ({
  page,
  device,
}) => {
  if (device !== 'webgpu') {
    const failure = await page.evaluate(
      (options) => window.failure(window.webmae.Trainer.create(options)),
      { ...SMALL, config: { ...SMALL.config, variant: 'plain', dropout: 0.2 } } as object,
    );
    expectFailure(failure, 'InvalidOption', /dropout.*WebGPU only/);
    return;
  }
  const seen = await page.evaluate(async (options) => {
    const { Trainer } = window.webmae;
    const images = [20, 24, 28, 32].map((side) => window.picture(side, 24));
    const losses = async (dropout: number) => {
      const config = { ...options.config, variant: 'plain', dropout } as const;
      const trainer = await Trainer.create({ ...options, config, images });
      const losses: number[] = [];
      for await (const { loss } of trainer.run(3)) losses.push(loss);
      const { config: told } = trainer.info;
      const { loss } = await trainer.reconstruct(images[0] as ImageData, { seed: 1 });
      const again = (await trainer.reconstruct(images[0] as ImageData, { seed: 1 })).loss;
      await trainer.close();
      return { losses, told, same: loss === again };
    };
    return [await losses(0.2), await losses(0.2), await losses(0)];
  }, SMALL);
  const [dropped, again, whole] = seen as [(typeof seen)[0], (typeof seen)[0], (typeof seen)[0]];
  expect(dropped.told.dropout).toBe(0.2);
  expect(dropped.losses.every(Number.isFinite)).toBe(true);
  expect(again.losses).toEqual(dropped.losses);
  expect(whole.losses[0]).not.toBe(dropped.losses[0]);
  expect(seen.every(({ same }) => same)).toBe(true);
});

test('a run stops where it is left and others work in between', async ({ page }) => {
  const seen = await page.evaluate(async (options) => {
    const { Trainer } = window.webmae;
    const images = [window.picture(24, 24), window.picture(30, 20)];
    const trainer = await Trainer.create({ ...options, images });
    const left: number[] = [];
    for await (const { step } of trainer.run(30)) {
      left.push(step);
      if (step === 3) break;
    }
    const afterBreak = trainer.info.step;
    const { step: single } = await trainer.step();

    const between: number[] = [];
    for await (const { step } of trainer.run(4)) {
      const { mask } = await trainer.reconstruct(images[0] as ImageData, { seed: step });
      between.push(mask.length);
    }
    const second = trainer.run(4);
    await second.next();
    const twice = await window.failure(trainer.run(4).next());
    await second.return();

    const controller = new AbortController();
    const aborted: number[] = [];
    let reason: unknown;
    try {
      for await (const { step } of trainer.run(30, { signal: controller.signal })) {
        aborted.push(step);
        controller.abort('enough');
      }
    } catch (error) {
      reason = error;
    }
    const after = (await trainer.step()).step;
    await trainer.close();
    return { left, afterBreak, single, between, twice, aborted: aborted.length, reason, after };
  }, SMALL);
  expect(seen.left).toEqual([1, 2, 3]);
  // The worker may be two steps ahead.
  expect(seen.afterBreak).toBeLessThanOrEqual(6);
  expect(seen.single).toBe(seen.afterBreak + 1);
  expect(seen.between).toEqual([16, 16, 16, 16]);
  expectFailure(seen.twice, 'InvalidOption', /run/);
  expect(seen.aborted).toBe(1);
  expect(seen.reason).toBe('enough');
  expect(seen.after).toBeLessThan(seen.single + 20);
});

test('a run that has ended goes on with a longer schedule', async ({ page }) => {
  const seen = await page.evaluate(async (options) => {
    const { Trainer } = window.webmae;
    const images = [window.picture(24, 24)];
    const trainer = await Trainer.create({ ...options, images, steps: 10, warmupSteps: 2 });
    const rates = async () => {
      const rates: number[] = [];
      for await (const { lr } of trainer.run()) rates.push(lr);
      return rates;
    };
    const first = await rates();
    const none = await rates();
    const { lr: after } = await trainer.step();
    const { totalSteps } = await trainer.extend(10);
    const second = await rates();
    const resumed = await Trainer.resume(await trainer.save(), { images });
    const kept = resumed.info.totalSteps;
    await trainer.close();
    await resumed.close();
    return { first, none, after, totalSteps, second, kept, peak: resumed.info.lr };
  }, SMALL);
  // Linear warm-up, then half a cosine over all of the steps.
  const rate = (step: number, total: number) =>
    step < 2
      ? (seen.peak * step) / 2
      : 0.5 * seen.peak * (1 + Math.cos((Math.PI * (step - 2)) / (total - 2)));
  const close = (rates: number[], first: number, total: number) =>
    rates.forEach((lr, i) => {
      expect(Math.abs(lr - rate(first + i, total))).toBeLessThan(1e-6 * seen.peak);
    });
  expect(seen.first).toHaveLength(10);
  close(seen.first, 0, 10);
  expect(seen.none).toEqual([]);
  expect(seen.after).toBe(0);
  expect([seen.totalSteps, seen.kept]).toEqual([20, 20]);
  expect(seen.second).toHaveLength(9);
  close(seen.second, 11, 20);
});

test('saving does not let the heap grow', async ({ page }) => {
  const seen = await page.evaluate(async () => {
    const { Trainer, memory } = window.webmae;
    const trainer = await Trainer.create({ batchSize: 1, images: [window.picture(32, 32)] });
    await trainer.step();
    const before = await memory();
    const sizes = [(await trainer.save()).length, (await trainer.exportWeights()).length];
    for (let i = 0; i < 5; i++) await trainer.save();
    await trainer.exportWeights({ precision: 'f16' });
    const after = await memory();
    await trainer.close();
    return { sizes, grown: after.heap - before.heap };
  });
  // Less than a checkpoint: parts of it are held one at a time.
  expect(seen.sizes[0]).toBeGreaterThan(3e6);
  expect(seen.grown).toBeLessThan((seen.sizes[0] as number) / 3);
});

test('resuming does not let the heap grow', async ({ page }) => {
  const seen = await page.evaluate(async () => {
    const { Trainer, memory } = window.webmae;
    const images = [window.picture(32, 32)];
    const trainer = await Trainer.create({ batchSize: 1, images });
    await trainer.step();
    const saved = await trainer.save();
    await trainer.close();
    const before = await memory();
    const resumed = await Trainer.resume(saved, { images });
    await resumed.step();
    const after = await memory();
    await resumed.close();
    return { size: saved.length, grown: after.heap - before.heap };
  });
  // Tensors of it are held one at a time.
  expect(seen.size).toBeGreaterThan(3e6);
  expect(seen.grown).toBeLessThan(seen.size / 3);
});

test('a checkpoint has the tensors of its model, and no others', async ({ page, server }) => {
  const learned = { ...SMALL, config: { ...SMALL.config, positions: 'learned' as const } };
  const save = async (options: TrainerOptions) =>
    page.evaluate(async (options) => {
      const { Trainer } = window.webmae;
      const trainer = await Trainer.create({ ...options, images: [window.picture(20, 20)] });
      await trainer.step();
      await fetch('saved.bin', {
        method: 'PUT',
        body: (await trainer.save()) as Uint8Array<ArrayBuffer>,
      });
      const { positions } = trainer.info.config;
      await trainer.close();
      return positions;
    }, options);
  const resume = (file: TensorFile) => {
    server.add('changed.bin', { body: writeTensors(file) });
    return page.evaluate(() => window.failure(window.webmae.Trainer.resume('changed.bin')));
  };
  // Fixed positions have no moments.
  expect(await save(SMALL)).toBeUndefined();
  expect(readTensors(server.taken('saved.bin')).tensors.has('moment1/pos_embed')).toBe(false);
  expect(await save(learned)).toBe('learned');
  const whole = server.taken('saved.bin');
  const name = 'moment2/pos_embed';
  const changes: [RegExp, (tensors: TensorFile['tensors'], position: Tensor) => void][] = [
    [/moment2\/pos_embed \[1, 17, 32\] is missing/, (tensors) => tensors.delete(name)],
    [/no tensor moment2\/more/, (tensors, position) => tensors.set('moment2/more', position)],
    [/moment2\/pos_embed has shape \[1, 544\]/, (_, position) => (position.shape = [1, 544])],
    [/moment2\/pos_embed holds 1 value/, (_, { values }) => (values[3] = Number.NaN)],
    [/moment2\/pos_embed holds a mean of squares below 0/, (_, { values }) => (values[3] = -1)],
  ];
  for (const [message, change] of changes) {
    const file = readTensors(whole);
    change(file.tensors, file.tensors.get(name) as Tensor);
    expectFailure(await resume(file), 'BadWeights', message);
  }
  expect(await resume(readTensors(whole))).toBeUndefined();
});

test('misuse is refused in a sentence', async ({ page }) => {
  const failures = await page.evaluate(async (options) => {
    const { MAE, Trainer, cache, init } = window.webmae;
    const any = (value: unknown) => value as never;
    const image = window.picture(16, 16);
    const mae = await MAE.load('tiny');
    const trainer = await Trainer.create({ ...options, images: [image] });
    const calls: Record<string, () => Promise<unknown>> = {
      'load: no option': () => MAE.load('tiny', any({ chache: true })),
      'load: hfConfig': () => MAE.load('tiny', { hfConfig: any([1]) }),
      'load: nothing': () => MAE.load(any(undefined)),
      'reconstruct: null': () => mae.reconstruct(image, any(null)),
      'reconstruct: BigInt': () => mae.reconstruct(image, { seed: any(3n) }),
      'reconstruct: signal': () => mae.reconstruct(image, { signal: any({}) }),
      'reconstruct: NaN': () => mae.reconstruct(image, { mask: Array(144).fill(Number.NaN) }),
      'reconstruct: length': () => mae.reconstruct(image, { mask: [1] }),
      'embed: no option': () => mae.embed(image, any({ seed: 1 })),
      'attention: -1': () => mae.attention(image, -1),
      'attention: 1.5': () => mae.attention(image, 1.5),
      'attention: text': () => mae.attention(image, any('last')),
      'create: steps': () => Trainer.create(any({ ...options, steps: 0 })),
      'create: images': () => Trainer.create(any({ ...options, images: image })),
      'resume: no option': () => Trainer.resume('x', any({ steps: 5 })),
      'run: 1.5': () => trainer.run(1.5).next(),
      'run: -1': () => trainer.run(-1).next(),
      'extend: 0': () => trainer.extend(0),
      'add: text': () => trainer.addImages(any('cat.jpg')),
      'export: f8': () => trainer.exportWeights({ precision: any('f8') }),
      'delete: no address': () => cache.delete('http://['),
      'init: no option': () => init(any({ wsm: 'x' })),
    };
    const failures: Record<string, Awaited<ReturnType<typeof window.failure>>> = {};
    for (const [name, call] of Object.entries(calls)) failures[name] = await window.failure(call());
    await mae.close();
    await trainer.close();
    return failures;
  }, SMALL);
  for (const [name, failure] of Object.entries(failures)) {
    expect(failure, name).toMatchObject({ name: 'InvalidOption', typed: true });
    // None of the words of a parser.
    expect(failure?.message, name).toMatch(/^.{10,300}\.$/);
    expect(failure?.message, name).not.toMatch(/expected|invalid type|line \d+ column/);
  }
  expect(failures['attention: -1']?.message).toBe('block: -1 is no whole number from 0 to 5.');
});

test('pictures come one after the other, and a bad one is named', async ({ page }) => {
  const seen = await page.evaluate(async (options) => {
    const { Trainer, memory } = window.webmae;
    async function* stream() {
      for (const side of [20, 30, 40]) yield window.picture(side, side);
    }
    const trainer = await Trainer.create({ ...options, images: stream() });
    const first = trainer.info.images;
    const more = await trainer.addImages([window.picture(50, 50)]);
    const bad = new File(['nothing'], 'notes.txt');
    const failure = await window.failure(trainer.addImages([window.picture(9, 9), bad]));
    const kept = trainer.info.images;
    await trainer.clearImages();
    const cleared = trainer.info.images;
    const hungry = await window.failure(trainer.step());
    await trainer.addImages([window.picture(20, 20)]);
    const { step } = await trainer.step();
    await trainer.close();
    const create = await window.failure(Trainer.create({ ...options, images: [bad] }));
    const aborted = await Trainer.create({
      ...options,
      images: stream(),
      signal: AbortSignal.abort('no'),
    }).catch((reason) => reason);
    return {
      first,
      more,
      failure,
      kept,
      cleared,
      hungry,
      step,
      create,
      aborted,
      use: await memory(),
    };
  }, SMALL);
  expect(seen).toMatchObject({ first: 3, more: 4, kept: 5, cleared: 0, step: 1, aborted: 'no' });
  expectFailure(seen.failure, 'BadImage', /notes\.txt/);
  expectFailure(seen.hungry, 'InvalidOption', /pictures/);
  expectFailure(seen.create, 'BadImage', /notes\.txt/);
  expect(seen.use).toMatchObject({ open: 0, device: 0 });
});

test('says which option cannot be used', async ({ page }) => {
  const bad: [object, RegExp][] = [
    [{ batchSize: 0 }, /batchSize/],
    [{ lr: Number.NaN }, /lr.*NaN/],
    [{ preset: 'huge' }, /huge/],
    [{ betas: [0.9, 2] }, /beta.*2/],
    [{ ema: 1 }, /ema.*below 1, got 1/],
    [{ config: { image_size: [16, 16], patch_size: [5, 5] } }, /16.*patch.*5.*15 or 20/],
    [{ config: { mask_ratio: 1.5 } }, /mask.ratio.*1\.5/],
    [{ config: { variant: 'plain', dropout: 1 } }, /dropout: must be in \[0, 1\), got 1/],
    [{ config: { dropout: 0.1 } }, /dropout.*paper.*variant plain/],
    [{ colour: true }, /colour/],
    [{ steps: -1 }, /-1/],
  ];
  for (const [options, message] of bad) {
    const failure = await page.evaluate(
      (options) => window.failure(window.webmae.Trainer.create(options)),
      { ...SMALL, ...options } as object,
    );
    expectFailure(failure, 'InvalidOption', message);
  }
  const [letter, weights] = await page.evaluate(async () => {
    const { Trainer } = window.webmae;
    const letter = new TextEncoder().encode('no checkpoint, but a letter');
    return [
      await window.failure(Trainer.resume(letter)),
      await window.failure(Trainer.resume('tiny')),
    ];
  });
  expectFailure(letter, 'BadWeights', /safetensors/);
  expectFailure(weights, 'BadWeights', /checkpoint/);
});

for (const [what, average] of [
  ['a checkpoint', []],
  ['a checkpoint with a moving average', ['--ema', '0.9']],
] as const) {
  test(`${what} of the command line goes on in the browser and back`, async ({ page, server }) => {
    const folder = mkdtempSync(path.join(tmpdir(), 'webmae-'));
    try {
      const run = path.join(folder, 'run');
      webmae(
        ...['pretrain', '--data', 'synthetic', '--synthetic-images', '8', '--held-out-images', '2'],
        ...['--preset', 'tiny', '--batch-size', '2', '--steps', '2', '--out', run, ...average],
      );
      const { file } = JSON.parse(webmae('info', '--json', run)) as { file: string };
      const native = readFileSync(file);
      server.add('checkpoint.bin', { body: native });
      const seen = await page.evaluate(async () => {
        const { Trainer, MAE } = window.webmae;
        const image = window.picture(32, 32);
        const trainer = await Trainer.resume('checkpoint.bin', { images: [image] });
        const { step } = trainer.info;
        const same = await trainer.save();
        await trainer.step();
        const further = await trainer.save();
        const weights = await trainer.exportWeights();
        const half = await trainer.exportWeights({ precision: 'f16' });
        const { loss } = await trainer.reconstruct(image);
        await trainer.close();
        const files = { same, further, weights, half };
        const losses: Record<string, number> = {};
        for (const [name, bytes] of Object.entries(files)) {
          await fetch(`${name}.bin`, { method: 'PUT', body: bytes as Uint8Array<ArrayBuffer> });
          const mae = await MAE.load(bytes);
          losses[name] = (await mae.reconstruct(image)).loss;
          await mae.close();
        }
        return { step, loss, losses };
      });
      expect(seen.step).toBe(2);
      expect(tensorDigests(server.taken('same.bin'))).toEqual(tensorDigests(native));
      expect(seen.losses.further).toBe(seen.loss);
      expect(seen.losses.weights).toBe(seen.loss);
      expect(Math.abs((seen.losses.half as number) - seen.loss)).toBeLessThan(0.01 * seen.loss);

      const [checkpoint, weights, half] = ['further', 'weights', 'half'].map((name) => {
        const saved = path.join(folder, `${name}.safetensors`);
        writeFileSync(saved, server.taken(`${name}.bin`));
        return saved;
      }) as [string, string, string];
      expect(JSON.parse(webmae('info', '--json', checkpoint))).toMatchObject({ step: 3 });
      const exported = path.join(folder, 'exported.safetensors');
      for (const [options, from] of [
        [[], weights],
        [['--f16'], half],
      ] as const) {
        const format = ['--format', 'webmae', ...options];
        webmae('export', ...format, '--weights', checkpoint, '--out', exported);
        expect(tensorDigests(readFileSync(exported))).toEqual(tensorDigests(readFileSync(from)));
      }
      const picture = 'tests/fixtures/golden/preprocessing/rgb_landscape.png';
      const grid = path.join(folder, 'grid.png');
      webmae('reconstruct', '--weights', weights, '--out', grid, picture);
      expect(readFileSync(grid).length).toBeGreaterThan(1000);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
}
