import { expect, expectFailure, test } from './support/fixture.ts';

test('tells what the browser can do', async ({ page, device }) => {
  const support = await page.evaluate(() => window.webmae.support());
  if (device !== 'webgpu') {
    expect(support).toMatchObject({ device: 'cpu', webgpu: false, software: false, cache: 'opfs' });
    expect(support.why).toMatch(/WebGPU|graphics/);
    expect(support.adapter).toBeUndefined();
    expect(support.quota?.available).toBeGreaterThan(0);
    return;
  }
  expect(support).toMatchObject({ webgpu: true, software: true, cache: 'opfs' });
  expect(support.adapter?.kind).toBe('software (CPU)');
  expect(support.adapter?.name).toMatch(/swiftshader/i);
  expect(support.adapter?.maxBinding).toBeGreaterThanOrEqual(128 << 20);
  expect(support.quota?.available).toBeGreaterThan(0);
  expect(support.reason).toBeUndefined();
});

test('the shipped model reconstructs, embeds and shows its attention', async ({ page }) => {
  const seen = await page.evaluate(async () => {
    const { MAE } = window.webmae;
    const progress: { stage: string; done: number; total?: number }[] = [];
    const mae = await MAE.load('tiny', { onProgress: (now) => progress.push(now) });
    const image = window.picture(150, 120);
    const result = await mae.reconstruct(image);
    const features = [await mae.embed(image), await mae.embed(image)];
    const mean = await mae.embed(image, { pool: 'mean' });
    const attention = await mae.attention(image);
    const first = await mae.attention(image, 0, { fit: 'stretch' });
    const sums = Array.from({ length: attention.heads * attention.tokens }, (_, row) =>
      attention.weights
        .subarray(row * attention.tokens, (row + 1) * attention.tokens)
        .reduce((sum, weight) => sum + weight, 0),
    );
    const { info } = mae;
    const bad = await window.failure(mae.attention(image, 99));
    await mae.close();
    return {
      info,
      progress,
      features: features.map((feature) => Array.from(feature)),
      mean: Array.from(mean),
      attention: { ...attention, weights: attention.weights.length },
      differs: first.weights.some((weight, i) => weight !== attention.weights[i]),
      sums,
      bad,
      result: {
        ...result,
        pictures: [result.original, result.masked, result.prediction, result.reconstruction].map(
          ({ width, height }) => [width, height],
        ),
        mask: Array.from(result.mask),
        patchError: Array.from(result.patchError),
      },
    };
  });
  const { info, result } = seen;
  expect(info).toMatchObject({ grid: [12, 12], reconstructs: true, weights: { kind: 'mae' } });
  expect(info.config.image_size).toEqual([96, 96]);
  expect(info.weights.parameters).toBeGreaterThan(1e6);

  expect(result.grid).toEqual([12, 12]);
  expect(result.pictures).toEqual(Array(4).fill([96, 96]));
  const hidden = result.mask.filter((entry) => entry === 1).length;
  expect(hidden).toBe(108);
  expect(result.mask.every((entry, i) => entry === 1 || result.patchError[i] === 0)).toBe(true);
  const mean = result.patchError.reduce((sum, error) => sum + error, 0) / hidden;
  expect(Math.abs(result.loss - mean)).toBeLessThan(1e-4 * mean);
  expect(result.loss).toBeGreaterThan(0);
  expect(result.milliseconds).toBeGreaterThan(0);

  expect(seen.features[0]).toHaveLength(info.config.encoder.dim);
  expect(seen.features[0]?.every(Number.isFinite)).toBe(true);
  expect(seen.features[1]).toEqual(seen.features[0]);
  expect(seen.mean).not.toEqual(seen.features[0]);

  const { heads } = info.config.encoder;
  expect(seen.attention).toMatchObject({ heads, tokens: 145, clsTokens: 1, grid: [12, 12] });
  expect(seen.attention.weights).toBe(heads * 145 * 145);
  for (const sum of seen.sums) expect(Math.abs(sum - 1)).toBeLessThan(1e-4);
  expect(seen.differs).toBe(true);
  expectFailure(seen.bad, 'InvalidOption', /99/);

  const bytes = seen.progress.filter(({ stage }) => stage === 'download' || stage === 'weights');
  expect(bytes.length).toBeGreaterThan(1);
  expect(bytes.at(-1)?.done).toBe(bytes.at(-1)?.total);
  expect(bytes.map(({ done }) => done)).toEqual(
    bytes.map(({ done }) => done).sort((a, b) => a - b),
  );
});

test('seed, noise and mask say which patches are hidden', async ({ page }) => {
  const seen = await page.evaluate(async () => {
    const mae = await window.webmae.MAE.load('tiny');
    const image = window.picture(96, 96);
    type Options = Parameters<typeof mae.reconstruct>[1];
    const maskOf = async (options: Options) =>
      (await mae.reconstruct(image, options)).mask.join('');
    const patches = 144;
    const noise = Array.from({ length: patches }, (_, i) => (i * 77) % patches);
    const mask = Array.from({ length: patches }, (_, i) => i % 12 < 3);
    const result = {
      first: await maskOf({}),
      zero: await maskOf({ seed: 0 }),
      one: await maskOf({ seed: 1 }),
      half: await maskOf({ maskRatio: 0.5 }),
      none: await maskOf({ maskRatio: 0 }),
      block: await maskOf({ strategy: 'block', seed: 3 }),
      grid: await maskOf({ strategy: 'grid' }),
      noise: await maskOf({ noise }),
      noiseBeforeSeed: await maskOf({ noise, seed: 5 }),
      mask: await maskOf({ mask }),
      maskBeforeNoise: await maskOf({ mask: Uint8Array.from(mask, Number), noise, seed: 5 }),
    };
    const failures = {
      ratio: await window.failure(mae.reconstruct(image, { maskRatio: 1 })),
      notANumber: await window.failure(mae.reconstruct(image, { maskRatio: Number.NaN })),
      short: await window.failure(mae.reconstruct(image, { mask: [1, 0] })),
      all: await window.failure(mae.reconstruct(image, { mask: Array(patches).fill(1) })),
      noise: await window.failure(
        mae.reconstruct(image, { noise: Array(patches).fill(Number.NaN) }),
      ),
      shortNoise: await window.failure(mae.reconstruct(image, { noise: [1, 2] })),
      strategy: await window.failure(
        mae.reconstruct(image, { strategy: 'spiral' } as unknown as Options),
      ),
      seed: await window.failure(mae.reconstruct(image, { seed: -1 })),
    };
    await mae.close();
    return { result, failures, noise, mask: mask.map(Number).join('') };
  });
  const { result, failures } = seen;
  const hidden = (mask: string) => mask.replaceAll('0', '').length;
  expect(result.zero).toBe(result.first);
  expect(result.one).not.toBe(result.first);
  expect(Object.entries(result).map(([name, mask]) => [name, hidden(mask)])).toEqual([
    ['first', 108],
    ['zero', 108],
    ['one', 108],
    ['half', 72],
    ['none', 0],
    ['block', 108],
    ['grid', 108],
    ['noise', 108],
    ['noiseBeforeSeed', 108],
    ['mask', 36],
    ['maskBeforeNoise', 36],
  ]);
  // At 75 %, one patch of every 2 × 2 is kept.
  const kept = (row: number, column: number) => Number(result.grid[row * 12 + column] === '0');
  for (let row = 0; row < 12; row += 2) {
    for (let column = 0; column < 12; column += 2) {
      const square = [
        kept(row, column),
        kept(row, column + 1),
        kept(row + 1, column),
        kept(row + 1, column + 1),
      ];
      expect(square.reduce((sum, one) => sum + one)).toBe(1);
    }
  }
  expect(result.noise).toBe(seen.noise.map((value) => Number(value >= 36)).join(''));
  expect(result.noiseBeforeSeed).toBe(result.noise);
  expect(result.mask).toBe(seen.mask);
  expect(result.maskBeforeNoise).toBe(seen.mask);

  for (const failure of Object.values(failures)) expectFailure(failure, 'InvalidOption', /./);
  expect(failures.short?.message).toMatch(/144/);
  expect(failures.strategy?.message).toMatch(/spiral/);
});

test('hidden pixels are not in the masked picture, visible ones stay in the reconstruction', async ({
  page,
}) => {
  const wrong = await page.evaluate(async () => {
    const mae = await window.webmae.MAE.load('tiny');
    const result = await mae.reconstruct(window.picture(96, 96), { seed: 4 });
    await mae.close();
    const wrong = { leaked: 0, visible: 0, changed: 0, unpredicted: 0 };
    for (let i = 0; i < 96 * 96; i++) {
      const patch = Math.floor(i / 96 / 8) * 12 + Math.floor((i % 96) / 8);
      const pixel = ({ data }: ImageData) => String(data.subarray(4 * i, 4 * i + 4));
      const [original, masked, prediction, reconstruction] = [
        result.original,
        result.masked,
        result.prediction,
        result.reconstruction,
      ].map(pixel);
      if (result.mask[patch]) {
        if (masked !== '0,0,0,0') wrong.leaked++;
        if (reconstruction !== prediction) wrong.unpredicted++;
      } else {
        if (masked !== original) wrong.visible++;
        if (reconstruction !== original) wrong.changed++;
      }
    }
    return wrong;
  });
  expect(wrong).toEqual({ leaked: 0, visible: 0, changed: 0, unpredicted: 0 });
});

test('crops the centre or squeezes', async ({ page }) => {
  const [crop, stretch] = await page.evaluate(async () => {
    const mae = await window.webmae.MAE.load('tiny');
    // Red at the left end, green in the middle, blue at the right end.
    const image = new ImageData(300, 100);
    for (let i = 0; i < 300 * 100; i++) {
      const third = Math.floor((i % 300) / 100);
      image.data.set(
        [third === 0 ? 255 : 0, third === 1 ? 255 : 0, third === 2 ? 255 : 0, 255],
        4 * i,
      );
    }
    const row = async (fit: 'crop' | 'stretch') => {
      const { original } = await mae.reconstruct(image, { fit });
      return [8, 48, 88].map((x) =>
        Array.from(original.data.subarray(4 * (48 * 96 + x)).subarray(0, 3)),
      );
    };
    const rows = [await row('crop'), await row('stretch')];
    await mae.close();
    return rows;
  });
  const colours = (pixels: number[][] | undefined) =>
    pixels?.map((pixel) => ['red', 'green', 'blue'][pixel.indexOf(Math.max(...pixel))]);
  expect(colours(crop)).toEqual(['green', 'green', 'green']);
  expect(colours(stretch)).toEqual(['red', 'green', 'blue']);
});
