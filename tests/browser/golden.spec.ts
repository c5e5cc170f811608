import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { Page } from '@playwright/test';
import type { ModelConfig, StackConfig } from '../../web/package/types.ts';
import { webmae } from './support/command.ts';
import { expect, test } from './support/fixture.ts';
import { readTensors, type TensorFile, writeTensors } from './support/safetensors.ts';

const FOLDER = 'tests/fixtures/golden';

interface Case {
  name: string;
  file: string;
  kind: string;
  config: Record<string, number | boolean | [number, number]>;
  loss: { f64: number };
  err: Record<string, [number, number]>;
  /** Second names of a tensor, and its first. */
  tied_params: Record<string, string>;
  suggested_tolerance: {
    output_rel_to_max: number;
    grad_rel_to_max: number;
    zero_grad_abs: number;
  };
}

/** A tensor among the results, and its first value. */
interface Stored {
  name: string;
  shape: number[];
  first: number;
}

type Tensors = TensorFile['tensors'];

/** Scripts of the module for each device, and its builds. */
const MODULES = {
  cpu: ['webmae_cpu', 'webmae_cpu', 'webmae_cpu_relaxed'],
  webgpu: ['webmae', 'webmae'],
};
const MODELS = ['hf_mae', 'vitp_mae', 'blog_mae'];
const cases = (
  JSON.parse(readFileSync(`${FOLDER}/manifest.json`, 'utf8')) as { cases: Case[] }
).cases.filter(({ kind }) => MODELS.includes(kind));

for (const golden of cases) {
  test(`${golden.name}: forward, loss and gradients are PyTorch's`, async ({ page, device }) => {
    const file = readTensors(readFileSync(path.join(FOLDER, golden.file))).tensors;
    const config = modelOf(golden);
    const references = gradients(golden, config, file);
    const [script = '', ...builds] = MODULES[device === 'webgpu' ? device : 'cpu'];
    for (const build of builds) {
      const actual = await run(page, script, build, config, file);
      const loss = tensor(actual, 'loss').values[0] as number;
      const relative = Math.abs(loss - golden.loss.f64) / golden.loss.f64;
      expect(relative, `${build}: loss`).toBeLessThanOrEqual(1e-5);
      const failures = [
        ...checkOutputs(golden, config, file, actual),
        ...checkGradients(golden, references, actual),
      ];
      expect(failures, build).toEqual([]);
    }
  });
}

/** Results of one batch, forward and backward, by that build of a module. */
async function run(
  page: Page,
  script: string,
  build: string,
  config: ModelConfig,
  file: Tensors,
): Promise<Tensors> {
  const images = tensor(file, 'input.pixel_values');
  const results = await page.evaluate(
    async ({ script, build, config, weights, batch, images, noise }) => {
      const address = `/web/wasm/${script}.js?${build}`;
      const wasm = (await import(address)) as typeof import('../../web/wasm/webmae.js');
      await wasm.default({ module_or_path: `/web/wasm/${build}_bg.wasm` });
      const device = await wasm.Device.open();
      const objective = new wasm.Objective(device, weights, config, batch);
      const layout = JSON.parse(objective.layout) as Stored[];
      const values = await objective.run(images, noise);
      objective.free();
      device.free();
      return { layout, values };
    },
    {
      script,
      build,
      config: JSON.stringify(config),
      weights: writeTensors({ tensors: group(file, 'param.'), metadata: {} }),
      batch: images.shape[0] as number,
      images: images.values,
      noise: tensor(file, 'input.noise').values,
    },
  );
  return new Map(
    results.layout.map(({ name, shape, first }) => {
      const length = shape.reduce((product, extent) => product * extent, 1);
      return [name, { shape, values: results.values.slice(first, first + length) }];
    }),
  );
}

function modelOf({ kind, config }: Case): ModelConfig {
  const number = (name: string): number => config[name] as number;
  const sides = (name: string): [number, number] => {
    const size = config[name] as number | [number, number];
    return Array.isArray(size) ? size : [size, size];
  };
  const paper = kind === 'hf_mae';
  const stack = (prefix: string): StackConfig => {
    if (!paper) {
      return {
        dim: number(`${prefix}dim`),
        depth: number(`${prefix}depth`),
        heads: number(`${prefix}heads`),
        dim_head: number(`${prefix}dim_head`),
        mlp_dim: number(`${prefix}mlp_dim`),
      };
    }
    const [dim, heads] = [number(`${prefix}hidden_size`), number(`${prefix}num_attention_heads`)];
    return {
      dim,
      depth: number(`${prefix}num_hidden_layers`),
      heads,
      dim_head: dim / heads,
      mlp_dim: number(`${prefix}intermediate_size`),
    };
  };
  return {
    variant: paper ? 'paper' : kind === 'blog_mae' ? 'plain' : 'vit-pytorch',
    image_size: sides('image_size'),
    patch_size: sides('patch_size'),
    channels: number('num_channels'),
    encoder: stack(''),
    decoder: stack('decoder_'),
    mask_ratio: number(paper ? 'mask_ratio' : 'masking_ratio'),
    mask_strategy: 'random',
    norm_pix_loss: Boolean(config.norm_pix_loss),
    encoder_mask_tokens: false,
    layer_norm_eps: number('layer_norm_eps'),
  };
}

/** Stands where a parameter has no gradient: larger than any, and exact in f32. */
const NO_GRADIENT = 2 ** 100;

/** The reference's gradients under this project's names. Whoever renames weights renames their
 * gradients: the command line converts a file whose values are gradients, and a number that none is
 * where there is none. */
function gradients(golden: Case, config: ModelConfig, file: Tensors): Tensors {
  const folder = mkdtempSync(path.join(tmpdir(), 'webmae-'));
  const [from, to] = ['gradients', 'renamed'].map((name) =>
    path.join(folder, `${name}.safetensors`),
  ) as [string, string];
  const references = group(file, 'grad.');
  const tensors: Tensors = new Map();
  for (const [name, parameter] of group(file, 'param.')) {
    if (name in golden.tied_params) continue;
    const none = { shape: parameter.shape, values: parameter.values.map(() => NO_GRADIENT) };
    tensors.set(name, references.get(name) ?? none);
  }
  try {
    writeFileSync(from, writeTensors({ tensors, metadata: {} }));
    const channels = Array(config.channels).fill('0.5').join();
    webmae(
      ...['export', '--format', 'webmae', '--weights', from, '--out', to],
      ...['--heads', String(config.encoder.heads), '--decoder-heads', String(config.decoder.heads)],
      ...['--image-size', config.image_size.join('x'), '--patch-size', config.patch_size.join('x')],
      ...['--channels', String(config.channels), '--mean', channels, '--std', channels],
    );
    return readTensors(readFileSync(to)).tensors;
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** The orders of patches exactly, predictions within the manifest's tolerance. */
function checkOutputs(golden: Case, config: ModelConfig, file: Tensors, actual: Tensors): string[] {
  const restore = tensor(actual, 'ids_restore');
  const pred = tensor(actual, 'pred');
  const [batch, patches] = restore.shape as [number, number];
  const [, tokens, width] = pred.shape as [number, number, number];
  const failures: string[] = [];
  const check = (name: string, values: ArrayLike<number>) => {
    const reference = tensor(file, name).values;
    const limit = golden.suggested_tolerance.output_rel_to_max * maxAbs(reference);
    const difference = maxDifference(values, reference);
    if (!(difference <= limit)) failures.push(`${name}: ${difference}, allowed ${limit}`);
  };
  const rows = (places: number[][]) =>
    places.flatMap((ts, b) =>
      ts.flatMap((t) => {
        const first = (b * tokens + t) * width;
        return Array.from(pred.values.slice(first, first + width));
      }),
    );
  const ranks = Array.from({ length: batch }, (_, b) =>
    Array.from(restore.values.slice(b * patches, (b + 1) * patches)),
  );
  if (golden.kind === 'hf_mae') {
    const keep = Math.trunc(patches * (1 - config.mask_ratio));
    expect(Array.from(restore.values)).toEqual(
      Array.from(tensor(file, 'output.ids_restore').values),
    );
    expect(ranks.flat().map((rank) => Number(rank >= keep))).toEqual(
      Array.from(tensor(file, 'output.mask').values),
    );
    check('output.logits', rows(ranks.map((row) => row.map((_, i) => i + 1))));
  } else {
    const masked = Math.trunc(config.mask_ratio * patches);
    const shuffle = ranks.map((row) => row.map((_, rank) => row.indexOf(rank)));
    const indices = (from: number, to: number) => shuffle.flatMap((row) => row.slice(from, to));
    expect(indices(0, masked)).toEqual(Array.from(tensor(file, 'output.masked_indices').values));
    expect(indices(masked, patches)).toEqual(
      Array.from(tensor(file, 'output.unmasked_indices').values),
    );
    // The plain decoder has its mask tokens in front, the other in patch order.
    const plain = config.variant === 'plain';
    const places = shuffle.map((row) =>
      row.slice(0, masked).map((at, rank) => (plain ? rank : at)),
    );
    check('output.pred', rows(places));
  }
  check('output.latent', tensor(actual, 'latent').values);
  return failures;
}

/** ‖Δ‖ ≤ 1e-4·‖ref‖, or three times the reference's own error where that is larger. */
function checkGradients(golden: Case, references: Tensors, actual: Tensors): string[] {
  const { zero_grad_abs: zero, grad_rel_to_max: relativeToMax } = golden.suggested_tolerance;
  const failures: string[] = [];
  let compared = 0;
  for (const [name, { values: reference }] of references) {
    if (reference[0] === NO_GRADIENT) continue;
    const values = Float32Array.from(tensor(actual, `grad.${name}`).values);
    if (name.endsWith('attn.qkv.bias')) {
      // Exactly zero for keys in real arithmetic: compare by size.
      const third = values.length / 3;
      const keys = maxAbs(values.subarray(third, 2 * third));
      if (!(keys <= zero)) failures.push(`${name}: key bias gradient ${keys} > ${zero}`);
      values.set(Float32Array.from(reference.slice(third, 2 * third)), third);
    }
    compared += 1;
    const relative = relativeNorm(values, reference);
    const own = (golden.err[`grad.${name}`]?.[1] ?? 0) / maxAbs(reference);
    const limit = Math.max(1e-4, 3 * own);
    if (!(relative <= limit)) failures.push(`grad ${name}: ‖Δ‖/‖ref‖ ${relative} > ${limit}`);
    const difference = maxDifference(values, reference) / maxAbs(reference);
    if (!(difference <= relativeToMax)) {
      failures.push(`grad ${name}: max |Δ| ${difference} of the largest > ${relativeToMax}`);
    }
  }
  expect(compared, 'gradients compared').toBeGreaterThan(10);
  return failures;
}

function group(file: Tensors, prefix: string): Tensors {
  const named = [...file].filter(([name]) => name.startsWith(prefix));
  return new Map(named.map(([name, tensor]) => [name.slice(prefix.length), tensor]));
}

function tensor(file: Tensors, name: string) {
  const found = file.get(name);
  if (!found) throw new Error(`There is no tensor ${name}.`);
  return found;
}

function maxAbs(values: ArrayLike<number>): number {
  return Array.from(values).reduce((max, x) => Math.max(max, Math.abs(x)), 0);
}

/** Infinite if a value is not finite or the lengths differ. */
function maxDifference(actual: ArrayLike<number>, expected: ArrayLike<number>): number {
  if (actual.length !== expected.length) return Number.POSITIVE_INFINITY;
  const difference = Array.from(actual, (x, i) => Math.abs(x - (expected[i] as number)));
  return difference.every(Number.isFinite) ? maxAbs(difference) : Number.POSITIVE_INFINITY;
}

/** ‖actual − expected‖ / ‖expected‖. */
function relativeNorm(actual: ArrayLike<number>, expected: ArrayLike<number>): number {
  if (actual.length !== expected.length) return Number.POSITIVE_INFINITY;
  const square = (sum: number, x: number) => sum + x * x;
  const difference = Array.from(actual, (x, i) => x - (expected[i] as number)).reduce(square, 0);
  return Math.sqrt(difference / Array.from(expected).reduce(square, 0));
}
