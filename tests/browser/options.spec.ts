import { expect, test } from '@playwright/test';
import { roundsToInfinity, toHalf } from '../../web/package/engine/half.ts';
import { InvalidOption } from '../../web/package/errors.ts';
import { support } from '../../web/package/index.ts';
import {
  checked,
  EMBED,
  EXPORT,
  INIT,
  LOAD,
  RECONSTRUCT,
  RESUME,
  TRAIN,
} from '../../web/package/options.ts';

const CALLS = { EMBED, EXPORT, INIT, LOAD, RECONSTRUCT, RESUME, TRAIN };

/** What is said of options; nothing if they are taken. */
function said(of: keyof typeof CALLS, options: unknown): string | undefined {
  try {
    checked(options as object, CALLS[of] as Parameters<typeof checked>[1]);
    return undefined;
  } catch (error) {
    expect(error).toBeInstanceOf(InvalidOption);
    return (error as Error).message;
  }
}

test('options that are right are taken', () => {
  expect(said('RECONSTRUCT', undefined)).toBeUndefined();
  expect(
    said('RECONSTRUCT', { seed: 0, mask: new Uint8Array(4), noise: [0.5], view: 'raw' }),
  ).toBeUndefined();
  expect(
    said('RECONSTRUCT', { mask: [true, false, 1, 0], signal: AbortSignal.abort() }),
  ).toBeUndefined();
  expect(said('RECONSTRUCT', { seed: undefined })).toBeUndefined();
  expect(
    said('LOAD', { hfConfig: { hidden_size: 64, image_size: [32, 32], other: null } }),
  ).toBeUndefined();
  expect(
    said('LOAD', { hfConfig: '{"hidden_size": 64}', overrides: { imageSize: [8, 8] } }),
  ).toBeUndefined();
  expect(
    said('TRAIN', { images: [], betas: [0.9, 0.95], config: { mask_ratio: 0.5 } }),
  ).toBeUndefined();
  expect(said('TRAIN', { images: new Set() })).toBeUndefined();
  expect(
    said('INIT', { wasm: new URL('https://example.org'), worker: 'worker.js' }),
  ).toBeUndefined();
});

for (const [of, options, message] of [
  ['RECONSTRUCT', null, 'options: null is no object of options.'],
  ['RECONSTRUCT', 5, 'options: 5 is no object of options.'],
  ['RECONSTRUCT', [], 'options: an array is no object of options.'],
  ['RECONSTRUCT', { maskratio: 1 }, /^maskratio: there is no such option; there are .*maskRatio/],
  ['RECONSTRUCT', { toString: 1 }, /^toString: there is no such option/],
  ['RECONSTRUCT', { seed: 3n }, 'seed: 3n is no whole number from 0 to 9007199254740991.'],
  ['RECONSTRUCT', { seed: 1.5 }, /^seed: 1\.5 is no whole/],
  ['RECONSTRUCT', { seed: null }, /^seed: null is no whole/],
  ['RECONSTRUCT', { maskRatio: Number.NaN }, 'maskRatio: NaN is no finite number.'],
  ['RECONSTRUCT', { maskRatio: '0.5' }, "maskRatio: '0.5' is no finite number."],
  ['RECONSTRUCT', { signal: {} }, 'signal: an object of Object is no AbortSignal.'],
  ['RECONSTRUCT', { onProgress: 1 }, 'onProgress: 1 is no function.'],
  ['RECONSTRUCT', { mask: [0, Number.NaN] }, /^mask, entry 1: NaN is neither 1 or true/],
  ['RECONSTRUCT', { mask: '10' }, "mask: '10' is no array."],
  ['RECONSTRUCT', { noise: [1n] }, 'noise, entry 0: 1n is no finite number.'],
  ['RECONSTRUCT', { fit: 'squeeze' }, "fit: 'squeeze' is none of 'crop' and 'stretch'."],
  ['EMBED', { pool: 'max' }, "pool: 'max' is none of 'cls' and 'mean'."],
  ['LOAD', { chache: false }, /^chache: there is no such option; .*cache/],
  ['LOAD', { hfConfig: '{' }, /^hfConfig: the text is no JSON/],
  ['LOAD', { hfConfig: [] }, /^hfConfig: an array is no object/],
  ['LOAD', { hfConfig: { hidden_size: 'a' } }, /^hfConfig\.hidden_size: 'a' is no whole/],
  ['LOAD', { overrides: { heads: 3 } }, /^overrides\.heads: there is no such option/],
  ['TRAIN', { steps: 0 }, /^steps: 0 is no whole number from 1/],
  ['TRAIN', { images: 'cat.jpg' }, /^images: 'cat\.jpg' is no array of pictures/],
  ['TRAIN', { config: { encoder: { dim: 8 } } }, 'config.encoder: depth is missing.'],
  ['TRAIN', { config: { image_size: 32 } }, 'config.image_size: 32 is no pair of two numbers.'],
  ['TRAIN', { betas: [0.9] }, 'betas: an array is no pair of two numbers.'],
  ['RESUME', { steps: 5 }, /^steps: there is no such option/],
  ['EXPORT', { precision: 'f8' }, "precision: 'f8' is none of 'f32' and 'f16'."],
  ['INIT', { wasm: 5 }, 'wasm: 5 is neither an address nor bytes.'],
] as const) {
  const name = JSON.stringify(options, (_, value) =>
    typeof value === 'bigint' ? `${value}n` : value,
  );
  test(`${of.toLowerCase()} refuses ${name} in a sentence`, () => {
    if (typeof message === 'string') expect(said(of, options)).toBe(message);
    else expect(said(of, options)).toMatch(message);
  });
}

test('support answers also where there is no browser', async () => {
  const { navigator } = globalThis;
  expect(await support()).toMatchObject({
    webgpu: false,
    cache: 'none',
    advice: expect.any(String),
  });
  Reflect.deleteProperty(globalThis, 'navigator');
  try {
    const { device, why } = await support();
    expect(device).toBeUndefined();
    expect(why).toMatch(/workers/);
    expect((await support('gpu' as 'webgpu')).why).toMatch(/'gpu'/);
    expect((await support(null as unknown as 'cpu')).device).toBeUndefined();
  } finally {
    if (navigator)
      Object.defineProperty(globalThis, 'navigator', { value: navigator, configurable: true });
  }
});

test('numbers are rounded to 16 bits as IEEE 754 says', () => {
  for (const [value, bits] of [
    [0, 0],
    [-0, 0x8000],
    [1, 0x3c00],
    [-2, 0xc000],
    [1 / 3, 0x3555],
    [65504, 0x7bff],
    [65519.99, 0x7bff],
    [65520, 0x7c00],
    [Number.POSITIVE_INFINITY, 0x7c00],
    [Number.NaN, 0x7e00],
    // Halfway between two: the even one.
    [1 + 2 ** -11, 0x3c00],
    [1 + 3 * 2 ** -11, 0x3c02],
    [2 - 2 ** -12, 0x4000],
    [2 ** -14, 0x0400],
    [2 ** -14 - 2 ** -26, 0x0400],
    [2 ** -24, 1],
    [2 ** -25, 0],
    [3 * 2 ** -25, 2],
  ] as const) {
    expect(toHalf(value), String(value)).toBe(bits);
  }
  expect([65519.99, 65520, -1e9, Number.POSITIVE_INFINITY].map(roundsToInfinity)).toEqual([
    false,
    true,
    true,
    false,
  ]);
});
