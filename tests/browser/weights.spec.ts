import type { Page } from '@playwright/test';
import type { LoadOptions } from '../../web/package/types.ts';
import { expect, expectFailure, type Failure, test } from './support/fixture.ts';
import { huggingFace, large, SHIPPED, sha256 } from './support/models.ts';
import { headerLength, readTensors, writeTensors } from './support/safetensors.ts';

/** A feature by the weights at `url`. */
function embed(page: Page, url: string, options: LoadOptions = {}): Promise<number[]> {
  return page.evaluate(
    async ([url, options]) => {
      const mae = await window.webmae.MAE.load(url, options);
      const feature = await mae.embed(window.picture(40, 40));
      await mae.close();
      return Array.from(feature);
    },
    [url, options] as const,
  );
}

/** How loading fails. */
function failure(page: Page, url: string, options: LoadOptions = {}): Promise<Failure | undefined> {
  return page.evaluate(([url, options]) => window.failure(window.webmae.MAE.load(url, options)), [
    url,
    options,
  ] as const);
}

test('weights come from an address, a file or memory', async ({ page, server }) => {
  const url = server.add('model.safetensors', { body: SHIPPED });
  const features = await page.evaluate(async (url) => {
    const bytes = new Uint8Array(await (await fetch(url)).arrayBuffer());
    const sources = {
      shipped: 'tiny',
      address: url,
      relative: 'model.safetensors',
      URL: new URL(url),
      Blob: new Blob([bytes]),
      File: new File([bytes], 'model.safetensors'),
      ArrayBuffer: bytes.buffer,
      Uint8Array: bytes,
    };
    const features: Record<string, string> = {};
    for (const [name, source] of Object.entries(sources)) {
      const mae = await window.webmae.MAE.load(source);
      features[name] = await window.digest(await mae.embed(window.picture(96, 96)));
      await mae.close();
    }
    // The caller's bytes stay the caller's.
    return { features, left: bytes.length };
  }, url);
  const { shipped, ...others } = features.features;
  for (const [name, feature] of Object.entries(others)) expect(feature, name).toBe(shipped);
  expect(features.left).toBe(SHIPPED.length);
});

test("Hugging Face's files work with the config.json beside them", async ({ page, server }) => {
  const { file, config } = huggingFace();
  const url = server.add('mae/resolve/main/model.safetensors', { body: file });
  server.add('mae/resolve/main/config.json', { body: config, type: 'application/json' });
  const info = await page.evaluate(async (url) => {
    const mae = await window.webmae.MAE.load(url);
    const { loss } = await mae.reconstruct(window.picture(32, 32));
    await mae.close();
    return { ...mae.info, loss };
  }, url);
  expect(info.config).toMatchObject({
    variant: 'paper',
    image_size: [32, 32],
    patch_size: [8, 8],
    encoder: { dim: 64, depth: 2, heads: 4 },
    decoder: { dim: 48, depth: 2, heads: 4 },
    layer_norm_eps: 1e-12,
  });
  expect(info.weights.format).toMatch(/Hugging Face/);
  expect(info.loss).toBeGreaterThan(0);
  expect(server.received.map(({ path }) => path)).toContain('/mae/resolve/main/config.json');

  const feature = await embed(page, url);
  expect(feature).toHaveLength(64);
  // Without one beside, as text, as an object or as options.
  const alone = server.add('alone.bin', { body: file });
  expect(await embed(page, alone, { hfConfig: config })).toEqual(feature);
  expect(await embed(page, alone, { hfConfig: JSON.parse(config) as object })).toEqual(feature);
  const overrides = { encoderHeads: 4, decoderHeads: 4, layerNormEps: 1e-12 };
  expect(await embed(page, alone, { overrides })).toEqual(feature);
});

test('weights may have two bytes a value', async ({ page, server }) => {
  const [full, half] = (['F32', 'BF16'] as const).map((dtype) => huggingFace(dtype));
  const [url, halfUrl] = [full, half].map((model, i) =>
    server.add(`model-${i}.bin`, { body: model?.file ?? '' }),
  ) as [string, string];
  const hfConfig = full?.config ?? '';
  const feature = await embed(page, url, { hfConfig });
  const rounded = await embed(page, halfUrl, { hfConfig });
  const error = Math.hypot(...feature.map((value, i) => value - (rounded[i] ?? 0)));
  expect(error / Math.hypot(...feature)).toBeLessThan(0.05);
  expect(error).toBeGreaterThan(0);
});

test('a classifier or an encoder embeds, but does not reconstruct', async ({ page, server }) => {
  const { file, config } = huggingFace();
  const { tensors, metadata } = readTensors(file);
  const encoder = new Map([...tensors].filter(([name]) => name.startsWith('vit.')));
  const url = server.add('encoder.bin', { body: writeTensors({ tensors: encoder, metadata }) });
  const seen = await page.evaluate(
    async ([url, hfConfig]) => {
      const mae = await window.webmae.MAE.load(url, { hfConfig });
      const feature = await mae.embed(window.picture(32, 32));
      const failure = await window.failure(mae.reconstruct(window.picture(32, 32)));
      await mae.close();
      return { info: mae.info, length: feature.length, failure };
    },
    [url, config] as const,
  );
  expect(seen.info).toMatchObject({ reconstructs: false, weights: { kind: 'encoder' } });
  expect(seen.length).toBe(64);
  expectFailure(seen.failure, 'BadWeights', /decoder/);
});

test('says what is wrong with an address', async ({ page, server, allowed }) => {
  allowed.push(/Failed to load resource/);
  const secret = server.add('secret.safetensors', { body: 'no', status: 403 });
  const broken = server.add('broken.safetensors', { body: 'no', status: 500 });
  expectFailure(
    await failure(page, `${server.origin}/none.safetensors`),
    'NetworkError',
    /none\.safetensors.*404/,
  );
  expectFailure(await failure(page, secret), 'NetworkError', /403.*not public/);
  expectFailure(await failure(page, broken), 'NetworkError', /500.*later/);
  expectFailure(
    await failure(page, 'http://127.0.0.1:9/model.safetensors'),
    'NetworkError',
    /connection/,
  );
  expectFailure(await failure(page, 'http://'), 'InvalidOption', /http:/);
});

test('says what is wrong with a file', async ({ page, server }) => {
  const { file, config } = huggingFace();
  const { tensors, metadata } = readTensors(file);
  const lacking = new Map([...tensors].slice(0, 20));
  const others = new Map([['some.weight', { shape: [2], values: new Float32Array(2) }]]);
  const notFinite = new Map(tensors);
  const shape = tensors.get('vit.layernorm.weight')?.shape ?? [];
  const values = new Float32Array(shape[0] ?? 0).fill(1).fill(Number.NaN, 3, 5);
  notFinite.set('vit.layernorm.weight', { shape, values });
  const header = headerLength(SHIPPED);
  const nonsense = Buffer.from(SHIPPED.subarray(0, header));
  nonsense.fill('?', 8);
  const bodies = {
    page: ['<!doctype html><title>Log in</title>', 'text/html', /web page/],
    empty: ['', undefined, /./],
    text: ['These are no weights, only a letter.', 'text/plain', /safetensors/],
    zip: [Buffer.from('PK\u0003\u0004and so on and on'), undefined, /webmae export/],
    truncated: [SHIPPED.subarray(0, SHIPPED.length / 2), undefined, /whole|ends/],
    headerCut: [SHIPPED.subarray(0, header - 10), undefined, /whole|ends|safetensors/],
    nonsense: [nonsense, undefined, /safetensors/],
    lacking: [writeTensors({ tensors: lacking, metadata }), undefined, /./],
    notFinite: [
      writeTensors({ tensors: notFinite, metadata }),
      undefined,
      /notFinite\.bin: vit\.layernorm\.weight holds 2 values of 64 that are not finite/,
    ],
    others: [writeTensors({ tensors: others, metadata: {} }), undefined, /./],
  } as const;
  for (const [name, [body, type, message]] of Object.entries(bodies)) {
    const url = server.add(`${name}.bin`, { body: body as string, ...(type && { type }) });
    expectFailure(await failure(page, url, { hfConfig: config }), 'BadWeights', message);
    const fromDisk = await page.evaluate(async (url) => {
      const bytes = await (await fetch(url)).arrayBuffer();
      return window.failure(window.webmae.MAE.load(new File([bytes], 'chosen.safetensors')));
    }, url);
    // Without the configuration beside it, what the file lacks is an option.
    if (name === 'notFinite')
      expectFailure(fromDisk, 'InvalidOption', /heads: .*give their number/);
    else expectFailure(fromDisk, 'BadWeights', /./);
  }
  // Nothing of these is kept.
  const kept = await page.evaluate(() => window.webmae.cache.list());
  expect(kept.filter(({ complete }) => complete)).toEqual([]);
  const notWeights = await page.evaluate(() =>
    window.failure(window.webmae.MAE.load(3 as unknown as string)),
  );
  expectFailure(notWeights, 'InvalidOption', /address/);
  const url = server.add('model.bin', { body: file });
  const overrides = { encoderHeads: 5, decoderHeads: 4 };
  expectFailure(await failure(page, url, { overrides }), 'InvalidOption', /heads/);
  expectFailure(await failure(page, url, { hfConfig: '{' }), 'InvalidOption', /config\.json/);
  const beside = server.add('beside/model.safetensors', { body: file });
  server.add('beside/config.json', { body: '{"hidden_size": "wide"}' });
  expectFailure(
    await failure(page, beside),
    'BadWeights',
    /beside the weights.*config\.json\.hidden_size: 'wide' is no whole number/,
  );
  expect(await page.evaluate(() => window.webmae.memory())).toMatchObject({ open: 0 });
});

test('checks the integrity of what it loads', async ({ page, server }) => {
  const url = server.add('model.safetensors', { body: SHIPPED });
  const hex = sha256(SHIPPED);
  const feature = await embed(page, url, { integrity: hex });
  const base64 = `sha256-${sha256(SHIPPED, 'base64')}`;
  expect(await embed(page, url, { integrity: base64 })).toEqual(feature);
  const other = sha256(SHIPPED.subarray(1));
  const wrong = await failure(page, url, { integrity: other });
  expectFailure(wrong, 'BadWeights', new RegExp(hex));
  expectFailure(await failure(page, url, { integrity: 'abc' }), 'InvalidOption', /abc/);
  const ofFile = await page.evaluate(
    async ([url, integrity]) => {
      const file = new File([await (await fetch(url)).arrayBuffer()], 'chosen.safetensors');
      return window.failure(window.webmae.MAE.load(file, { integrity }));
    },
    [url, other] as const,
  );
  expectFailure(ofFile, 'BadWeights', /chosen\.safetensors/);
});

test('a load is cancelled, and the next one works', async ({ page, server }) => {
  let release = () => {};
  const until = new Promise<void>((resolve) => {
    release = resolve;
  });
  const url = server.add('model.safetensors', {
    body: SHIPPED,
    pauseAfter: { bytes: 1 << 20, until },
  });
  const seen = await page.evaluate(async (url) => {
    const { MAE, memory } = window.webmae;
    const aborted = AbortSignal.abort(new Error('too late'));
    const before = await MAE.load(url, { signal: aborted }).catch(String);
    const controller = new AbortController();
    let last = 0;
    const loading = MAE.load(url, {
      signal: controller.signal,
      onProgress: ({ done }) => {
        last = done;
        if (done > 0) controller.abort(new Error('changed my mind'));
      },
    }).catch(String);
    const during = await loading;
    const timeout = await MAE.load(url, { signal: AbortSignal.timeout(50) }).catch(
      ({ name }) => name,
    );
    return { before, during, last, timeout, open: (await memory()).open };
  }, url);
  release();
  expect(seen.before).toBe('Error: too late');
  expect(seen.during).toBe('Error: changed my mind');
  expect(seen.last).toBeLessThan(2 << 20);
  expect(seen.timeout).toBe('TimeoutError');
  expect(seen.open).toBe(0);
  server.add('model.safetensors', { body: SHIPPED });
  expect(await embed(page, url)).toEqual(await embed(page, 'tiny'));
});

test('large files pass through memory tensor by tensor', async ({ page, server, device }) => {
  const { file, config } = large();
  const url = server.add('large.bin', { body: file });
  const seen = await page.evaluate(
    async ([url, hfConfig]) => {
      const { MAE, cache, init, memory } = window.webmae;
      await init();
      const before = await memory();
      const mae = await MAE.load(url, { hfConfig });
      const after = await memory();
      await mae.close();
      const [kept] = await cache.list();
      const again = await MAE.load(url, { hfConfig });
      await again.close();
      return { heap: after.heap - before.heap, kept, again: (await memory()).heap - before.heap };
    },
    [url, config] as const,
  );
  expect(file.length).toBeGreaterThan(190e6);
  expect(seen.kept).toMatchObject({
    url,
    bytes: file.length,
    complete: true,
    sha256: sha256(file),
  });
  expect(server.received.filter(({ method }) => method === 'GET')).toHaveLength(1);
  // The model itself is there where the processor runs it, once; beside it the largest tensor, of 9 MB.
  const model = device === 'webgpu' ? 0 : file.length;
  expect(seen.heap - model).toBeLessThan(40e6);
  expect(seen.again - model).toBeLessThan(40e6);
});
