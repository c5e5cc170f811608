import { readFileSync } from 'node:fs';
import { greyPng } from './png.ts';
import { expect, expectFailure, test } from './support/fixture.ts';

const PICTURES = 'tests/fixtures/golden/preprocessing';

test('a picture is the same in every form', async ({ page }) => {
  const features = await page.evaluate(async () => {
    const mae = await window.webmae.MAE.load('tiny');
    const image = window.picture(120, 96);
    const canvas = document.createElement('canvas');
    [canvas.width, canvas.height] = [120, 96];
    canvas.getContext('2d')?.putImageData(image, 0, 0);
    const offscreen = new OffscreenCanvas(120, 96);
    offscreen.getContext('2d')?.putImageData(image, 0, 0);
    const blob = await offscreen.convertToBlob();
    const element = new Image();
    element.src = URL.createObjectURL(blob);
    // Not in the document, and perhaps not decoded yet.
    const bitmap = await createImageBitmap(image);
    const frame = new VideoFrame(canvas, { timestamp: 0 });
    const forms = {
      ImageData: image,
      ImageBitmap: bitmap,
      HTMLImageElement: element,
      HTMLCanvasElement: canvas,
      OffscreenCanvas: offscreen,
      VideoFrame: frame,
      Blob: blob,
      File: new File([blob], 'picture.png'),
    };
    const features: Record<string, string> = {};
    for (const [name, form] of Object.entries(forms)) {
      features[name] = await window.digest(await mae.embed(form));
      features[`${name} again`] = await window.digest(await mae.embed(form));
    }
    const usable = [bitmap.width, frame.codedWidth, image.data.length];
    frame.close();
    await mae.close();
    return { features, usable };
  });
  const { ImageData: first, ...others } = features.features;
  for (const [name, feature] of Object.entries(others)) expect(feature, name).toBe(first);
  expect(features.usable).toEqual([120, 120, 4 * 120 * 96]);
});

test('takes the present frame of a video', async ({ page }) => {
  const blue = await page.evaluate(async () => {
    const mae = await window.webmae.MAE.load('tiny');
    const canvas = document.createElement('canvas');
    const context = canvas.getContext('2d');
    const video = document.createElement('video');
    const early = await window.failure(mae.embed(video));
    video.muted = true;
    video.srcObject = canvas.captureStream(30);
    const paint = setInterval(() => {
      if (context) context.fillStyle = 'blue';
      context?.fillRect(0, 0, canvas.width, canvas.height);
    }, 20);
    await video.play();
    const { original } = await mae.reconstruct(video);
    clearInterval(paint);
    await mae.close();
    return { early, pixel: Array.from(original.data.subarray(0, 3)) };
  });
  expectFailure(blue.early, 'BadImage', /video.*loadeddata/);
  expect(blue.pixel[2]).toBeGreaterThan(200);
  expect(Math.max(...blue.pixel.slice(0, 2))).toBeLessThan(60);
});

test('turns photographs as EXIF says', async ({ page }) => {
  const turned = readFileSync(`${PICTURES}/jpeg_420_exif6.jpg`);
  const asStored = Buffer.from(turned);
  // The orientation's tag, its type, one value, and the value.
  const tag = Buffer.from([0x01, 0x12, 0, 3, 0, 0, 0, 1, 0, 6]);
  asStored[asStored.indexOf(tag) + tag.length - 1] = 1;
  const difference = await page.evaluate(
    async ({ turned, asStored }) => {
      const mae = await window.webmae.MAE.load('tiny');
      const file = (bytes: Uint8Array) =>
        new Blob([bytes as Uint8Array<ArrayBuffer>], { type: 'image/jpeg' });
      const raw = await createImageBitmap(file(asStored));
      const canvas = new OffscreenCanvas(raw.height, raw.width);
      const context = canvas.getContext('2d');
      context?.translate(raw.height, 0);
      context?.rotate(Math.PI / 2);
      context?.drawImage(raw, 0, 0);
      const pixels = async (image: ImageBitmap | OffscreenCanvas | Blob) =>
        Array.from((await mae.reconstruct(image)).original.data);
      const [got, wanted, unturned] = [
        await pixels(file(turned)),
        await pixels(canvas),
        await pixels(raw),
      ];
      await mae.close();
      const difference = (other: number[]) =>
        got.reduce((sum, value, i) => sum + Math.abs(value - (other[i] ?? 0)), 0) / got.length;
      return { wanted: difference(wanted), unturned: difference(unturned) };
    },
    { turned: new Uint8Array(turned), asStored: new Uint8Array(asStored) },
  );
  expect(difference.wanted).toBeLessThan(1);
  expect(difference.unturned).toBeGreaterThan(5);
});

test('puts what is see-through on white', async ({ page }) => {
  const seen = await page.evaluate(async () => {
    const mae = await window.webmae.MAE.load('tiny');
    const filled = (color: number[]) => {
      const image = new ImageData(96, 96);
      for (let i = 0; i < image.data.length; i += 4) image.data.set(color, i);
      return image;
    };
    const half = filled([200, 100, 50, 128]);
    const canvas = new OffscreenCanvas(96, 96);
    canvas.getContext('2d')?.putImageData(half, 0, 0);
    const forms = [half, await createImageBitmap(half), canvas, await canvas.convertToBlob()];
    const pixels: number[][] = [];
    for (const form of [...forms, new ImageData(96, 96)]) {
      const { original } = await mae.reconstruct(form);
      pixels.push(Array.from(original.data.subarray(0, 4)));
    }
    const white = await window.digest(await mae.embed(filled([255, 255, 255, 255])));
    const nothing = await window.digest(await mae.embed(new ImageData(96, 96)));
    await mae.close();
    return { pixels, same: white === nothing, kept: Array.from(half.data.subarray(0, 4)) };
  });
  const [clear, ...halves] = seen.pixels.reverse();
  expect(clear).toEqual([255, 255, 255, 255]);
  expect(halves).toHaveLength(4);
  for (const pixel of halves) {
    for (const [i, value] of [227, 177, 152, 255].entries()) {
      expect(Math.abs((pixel[i] as number) - value)).toBeLessThanOrEqual(2);
    }
  }
  expect(seen.same).toBe(true);
  expect(seen.kept).toEqual([200, 100, 50, 128]);
});

test('pictures come by their addresses', async ({ page, server, allowed }) => {
  allowed.push(/Failed to load resource/);
  const png = greyPng(40, 40);
  const here = server.add('pictures/a.png', { body: png, type: 'image/png' });
  server.add('letter.txt', { body: 'no picture', type: 'text/plain' });
  const seen = await page.evaluate(
    async ({ png, here, elsewhere }) => {
      const mae = await window.webmae.MAE.load('tiny');
      const wanted = await window.digest(
        await mae.embed(new Blob([png as Uint8Array<ArrayBuffer>])),
      );
      const data = `data:image/png;base64,${btoa(String.fromCharCode(...png))}`;
      const forms = [here, 'pictures/a.png', new URL(here), elsewhere, data];
      const same: boolean[] = [];
      for (const form of forms) same.push((await window.digest(await mae.embed(form))) === wanted);
      const failures = [
        await window.failure(mae.embed('none.png')),
        await window.failure(mae.embed('letter.txt')),
        await window.failure(mae.embed('http://[')),
        await window.failure(
          mae.embed(here, { signal: AbortSignal.abort(new DOMException('', 'AbortError')) }),
        ),
      ];
      await mae.close();
      return { same, failures };
    },
    { png: new Uint8Array(png), here, elsewhere: `${server.elsewhere}/pictures/a.png` },
  );
  expect(seen.same).toEqual([true, true, true, true, true]);
  expectFailure(seen.failures[0], 'NetworkError', /none\.png .* 404/);
  expectFailure(seen.failures[1], 'BadImage', /letter\.txt is no picture/);
  expectFailure(seen.failures[2], 'InvalidOption', /is no address/);
  expect(seen.failures[3]).toMatchObject({ name: 'AbortError' });
});

test('several pictures are looked at together, each as it would be alone', async ({ page }) => {
  const seen = await page.evaluate(async () => {
    const { MAE, Trainer } = window.webmae;
    const mae = await MAE.load('tiny');
    // More than run together.
    const images = Array.from({ length: 19 }, (_, i) => window.picture(40 + i, 50));
    const progress: string[] = [];
    const features = await mae.embed(images, {
      onProgress: ({ stage, done, total }) =>
        stage === 'images' && progress.push(`${done}/${total}`),
    });
    const alone = [
      await mae.embed(images[3] as ImageData),
      await mae.embed(images[18] as ImageData),
    ];
    const furthest = Math.max(
      ...[3, 18].flatMap((at, i) =>
        Array.from(features[at] as Float32Array, (value, j) =>
          Math.abs(value - ((alone[i] as Float32Array)[j] as number)),
        ),
      ),
    );
    const scale = Math.max(...(alone[0] as Float32Array).map(Math.abs));
    const mask = Array.from({ length: 144 }, (_, i) => i % 3 === 0);
    const made: boolean[] = [];
    for (const options of [{ seed: 5 }, { mask }]) {
      const together = await mae.reconstruct(images.slice(0, 3), options);
      const last = await mae.reconstruct(images[2] as ImageData, options);
      made.push(
        together.length === 3,
        together[2]?.mask.join() === last.mask.join(),
        Math.abs((together[2]?.loss ?? 0) - last.loss) < 1e-5 * last.loss,
        together[0]?.loss !== together[2]?.loss,
      );
    }
    const none = await mae.embed([]);
    const bad = await window.failure(
      mae.embed([images[0] as ImageData, new File(['x'], 'bad.txt')]),
    );
    await mae.close();
    const trainer = await Trainer.create({ batchSize: 1, images });
    const ofTrainer = (await trainer.reconstruct(images.slice(0, 2))).length;
    await trainer.close();
    return { count: features.length, progress, furthest, scale, made, none, bad, ofTrainer };
  });
  expect(seen.count).toBe(19);
  expect(seen.progress).toEqual(['16/19', '19/19']);
  expect(seen.furthest).toBeLessThan(1e-5 * seen.scale);
  expect(seen.made).toEqual(Array(8).fill(true));
  expect(seen.none).toEqual([]);
  expectFailure(seen.bad, 'BadImage', /bad\.txt/);
  expect(seen.ofTrainer).toBe(2);
});

test('says what is wrong with a bad picture and goes on', async ({ page }) => {
  const seen = await page.evaluate(
    async ({ large, huge, cut }) => {
      const mae = await window.webmae.MAE.load('tiny');
      const file = (body: BlobPart, name: string) => new File([body], name, { type: 'image/png' });
      const closed = await createImageBitmap(window.picture(8, 8));
      closed.close();
      const broken = new Image();
      broken.src = 'data:image/png;base64,AAAA';
      const bad: Record<string, unknown> = {
        text: file('These are no pixels.', 'letter.png'),
        empty: file('', 'empty.png'),
        cut: file(cut as Uint8Array<ArrayBuffer>, 'cut.png'),
        svg: new Blob(['<svg'], { type: 'image/svg+xml' }),
        huge: file(huge as Uint8Array<ArrayBuffer>, 'huge.png'),
        closed,
        broken,
        canvas: new OffscreenCanvas(0, 0),
        nothing: null,
        object: { width: 3 },
      };
      const failures: Record<string, Awaited<ReturnType<typeof window.failure>>> = {};
      for (const [name, image] of Object.entries(bad)) {
        failures[name] = await window.failure(mae.embed(image as ImageData));
      }
      const before = await window.webmae.memory();
      const largeFailure = await window.failure(
        mae.reconstruct(file(large as Uint8Array<ArrayBuffer>, 'large.png')),
      );
      const after = await window.webmae.memory();
      const feature = await mae.embed(window.picture(96, 96));
      await mae.close();
      return {
        failures,
        largeFailure,
        heap: after.heap - before.heap,
        finite: feature.every(Number.isFinite),
      };
    },
    {
      large: new Uint8Array(greyPng(12_000, 12_000)),
      huge: new Uint8Array(greyPng(40_000, 40_000)),
      cut: new Uint8Array(greyPng(64, 64).subarray(0, 40)),
    },
  );
  const { failures } = seen;
  expectFailure(failures.text, 'BadImage', /letter\.png/);
  expectFailure(failures.empty, 'BadImage', /empty\.png is empty/);
  expectFailure(failures.cut, 'BadImage', /cut\.png/);
  expectFailure(failures.svg, 'BadImage', /./);
  expectFailure(failures.huge, 'BadImage', /huge\.png/);
  expectFailure(failures.closed, 'BadImage', /closed/);
  expectFailure(failures.broken, 'BadImage', /./);
  expectFailure(failures.canvas, 'BadImage', /0 × 0/);
  expectFailure(failures.nothing, 'BadImage', /null/);
  expectFailure(failures.object, 'BadImage', /Object/);
  // Large ones are read, or refused in one sentence; either way the heap stays small.
  if (seen.largeFailure) expectFailure(seen.largeFailure, 'BadImage', /large\.png/);
  expect(seen.heap).toBeLessThan(200e6);
  expect(seen.finite).toBe(true);
});
