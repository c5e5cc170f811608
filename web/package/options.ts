/** Options of every call: which there are, and what each may be. WebAssembly checks what depends on the model. */

import { InvalidOption } from './errors.ts';
import type {
  AttentionOptions,
  CallOptions,
  EmbedOptions,
  ExportOptions,
  InitOptions,
  LoadOptions,
  ModelConfig,
  ReconstructOptions,
  ResumeOptions,
  StackConfig,
  TrainerOptions,
} from './types.ts';

/** Says what a value should be if it is not; with the place of a part of it. */
type Check = (value: unknown, name: string) => void;

/** The options of a call, by name. */
type Known<T> = Record<keyof T, Check>;

/** Values of WebAssembly's unsigned integers. */
const U32 = 2 ** 32 - 1;

const finite: Check = (value, name) => {
  if (typeof value !== 'number' || !Number.isFinite(value)) refuse(name, value, 'no finite number');
};

const whole =
  (least: number, most = U32): Check =>
  (value, name) => {
    if (Number.isSafeInteger(value) && Number(value) >= least && Number(value) <= most) return;
    refuse(name, value, `no whole number from ${least} to ${most}`);
  };

const boolean: Check = (value, name) => {
  if (typeof value !== 'boolean') refuse(name, value, 'neither true nor false');
};

const text: Check = (value, name) => {
  if (typeof value !== 'string') refuse(name, value, 'no text');
};

const oneOf =
  (...choices: string[]): Check =>
  (value, name) => {
    if (choices.includes(value as string)) return;
    const quoted = choices.map((choice) => `'${choice}'`);
    refuse(name, value, `none of ${quoted.slice(0, -1).join(', ')} and ${quoted.at(-1)}`);
  };

const pair =
  (each: Check): Check =>
  (value, name) => {
    if (!Array.isArray(value) || value.length !== 2) refuse(name, value, 'no pair of two numbers');
    for (const part of value as unknown[]) each(part, name);
  };

/** One entry a patch. */
const entries =
  (allowed: (entry: unknown) => boolean, otherwise: string): Check =>
  (value, name) => {
    const { length } = Object(value) as ArrayLike<unknown>;
    if (typeof value === 'string' || typeof length !== 'number') refuse(name, value, 'no array');
    for (const [i, entry] of Array.from(value as ArrayLike<unknown>).entries())
      if (!allowed(entry)) refuse(`${name}, entry ${i}`, entry, otherwise);
  };

const object =
  <T>(known: Known<T>, complete = false): Check =>
  (value, name) => {
    check(value, known, name);
    const missing = Object.keys(known).find((key) => !(key in Object(value)));
    if (complete && missing) throw new InvalidOption(`${name}: ${missing} is missing.`);
  };

const signal: Check = (value, name) => {
  if (!(value instanceof AbortSignal)) refuse(name, value, 'no AbortSignal');
};

const callback: Check = (value, name) => {
  if (typeof value !== 'function') refuse(name, value, 'no function');
};

/** {@link deviceFor} knows the choices, and also checks what has no options. */
const device: Check = text;
const fit = oneOf('crop', 'stretch');
const patch = pair(whole(1));

const stack: Known<StackConfig> = {
  dim: whole(1),
  depth: whole(1),
  heads: whole(1),
  dim_head: whole(1),
  mlp_dim: whole(1),
};

const config: Known<ModelConfig> = {
  variant: oneOf('paper', 'plain', 'vit-pytorch'),
  image_size: patch,
  patch_size: patch,
  channels: whole(1),
  encoder: object(stack, true),
  decoder: object(stack, true),
  mask_ratio: finite,
  mask_strategy: oneOf('random', 'block', 'grid'),
  norm_pix_loss: boolean,
  encoder_mask_tokens: boolean,
  positions: oneOf('sincos', 'learned'),
  layer_norm_eps: finite,
  dropout: finite,
  emb_dropout: finite,
};

const list: Check = (value, name) => {
  const { [Symbol.iterator]: sync, [Symbol.asyncIterator]: later } = Object(value);
  if (typeof value === 'string' || !(sync ?? later))
    refuse(name, value, 'no array of pictures, nor something else to iterate over');
};

/** The address or the bytes of a file. */
const source: Check = (value, name) => {
  const known = [URL, ArrayBuffer, Uint8Array].some((Class) => value instanceof Class);
  if (typeof value !== 'string' && !known) refuse(name, value, 'neither an address nor bytes');
};

const sides: Check = (value, name) => {
  if (Array.isArray(value)) patch(value, name);
  else whole(1)(value, name);
};

/** Those fields of Hugging Face's `config.json` that are used; others are none of our business. */
const hfFields: Record<string, Check> = {
  ...Object.fromEntries(
    [
      ...['hidden_size', 'num_hidden_layers', 'num_attention_heads', 'intermediate_size'],
      ...['num_channels', 'decoder_num_attention_heads', 'decoder_hidden_size'],
      ...['decoder_num_hidden_layers', 'decoder_intermediate_size'],
    ].map((name) => [name, whole(1)]),
  ),
  ...Object.fromEntries(
    ['hidden_dropout_prob', 'attention_probs_dropout_prob', 'initializer_range']
      .concat('layer_norm_eps', 'mask_ratio')
      .map((name) => [name, finite]),
  ),
  image_size: sides,
  patch_size: sides,
  qkv_bias: boolean,
  norm_pix_loss: boolean,
  model_type: text,
  hidden_act: text,
};

const hfConfig: Check = (value, name) => {
  const fields = typeof value === 'string' ? parsed(value, name) : value;
  if (typeof fields !== 'object' || fields === null || Array.isArray(fields))
    refuse(name, fields, 'no object, nor the text of one');
  for (const [field, value] of Object.entries(fields as object))
    hfFields[field]?.(value, `${name}.${field}`);
};

const CALL: Known<CallOptions> = { signal, onProgress: callback };

export const RECONSTRUCT: Known<ReconstructOptions> = {
  ...CALL,
  maskRatio: finite,
  strategy: oneOf('random', 'block', 'grid'),
  seed: whole(0, Number.MAX_SAFE_INTEGER),
  mask: entries(
    (entry) => typeof entry === 'boolean' || entry === 0 || entry === 1,
    'neither 1 or true, for hidden, nor 0 or false',
  ),
  noise: entries(Number.isFinite, 'no finite number'),
  view: oneOf('raw', 'true-statistics', 'visible-statistics'),
  fit,
};

export const EMBED: Known<EmbedOptions> = { ...CALL, pool: oneOf('cls', 'mean'), fit };

export const ATTENTION: Known<AttentionOptions> = { ...CALL, fit };

export const LOAD: Known<LoadOptions> = {
  ...CALL,
  device,
  integrity: text,
  cache: boolean,
  hfConfig,
  overrides: object<NonNullable<LoadOptions['overrides']>>({
    encoderHeads: whole(1),
    decoderHeads: whole(1),
    imageSize: patch,
    patchSize: patch,
    channels: whole(1),
    maskRatio: finite,
    normPixLoss: boolean,
    layerNormEps: finite,
  }),
};

export const TRAIN: Known<TrainerOptions> = {
  ...CALL,
  device,
  preset: text,
  config: object(config),
  images: list,
  batchSize: whole(0),
  gradAccum: whole(0),
  recompute: boolean,
  precision: oneOf('f32', 'f16'),
  steps: whole(1),
  warmupSteps: whole(0),
  lr: finite,
  minLr: finite,
  weightDecay: finite,
  betas: pair(finite),
  clipGrad: finite,
  ema: finite,
  crop: oneOf('random', 'fixed', 'center', 'none'),
  flip: boolean,
  colorJitter: boolean,
  seed: whole(0, Number.MAX_SAFE_INTEGER),
};

export const RESUME: Known<ResumeOptions> = { ...CALL, device, images: list };

export const EXPORT: Known<ExportOptions> = { precision: oneOf('f32', 'f16') };

export const INIT: Known<InitOptions> = { wasm: source, wasmCpu: source, device, worker: source };

export { CALL };

/** Options that are known and of their types; nothing stands for none.
 *
 * @throws {InvalidOption} that names the option, what it is and what it may be. */
export function checked<T extends object>(options: T | undefined, known: Known<T>): T {
  if (options === undefined) return {} as T;
  check(options, known, 'options');
  return options;
}

/** Checks a value that is no option of a call.
 *
 * @throws {InvalidOption} if it is no whole number in that range, no list of pictures, no `config.json`. */
export const requireWhole = (value: unknown, name: string, least: number, most: number): void =>
  whole(least, most)(value, name);
export const requireList = (value: unknown): void => list(value, 'images');
export const requireHfConfig = (json: string, name: string): void => hfConfig(json, name);

function check<T>(options: unknown, known: Known<T>, name: string): void {
  if (typeof options !== 'object' || options === null || Array.isArray(options))
    refuse(name, options, 'no object of options');
  for (const [key, value] of Object.entries(options as object)) {
    const place = name === 'options' ? key : `${name}.${key}`;
    if (!Object.hasOwn(known, key)) {
      const names = Object.keys(known).join(', ');
      throw new InvalidOption(`${place}: there is no such option; there are ${names}.`);
    }
    if (value !== undefined) known[key as keyof T](value, place);
  }
}

function parsed(json: string, name: string): unknown {
  try {
    return JSON.parse(json);
  } catch {
    throw new InvalidOption(`${name}: the text is no JSON; pass the content of a config.json.`);
  }
}

function refuse(name: string, value: unknown, is: string): never {
  throw new InvalidOption(`${name}: ${shown(value)} is ${is}.`);
}

/** A value as it would be written, in short. */
function shown(value: unknown): string {
  if (typeof value === 'string') return `'${value.length > 60 ? `${value.slice(0, 60)}…` : value}'`;
  if (typeof value === 'bigint') return `${value}n`;
  if (typeof value === 'function') return 'a function';
  if (typeof value === 'symbol') return 'a symbol';
  if (Array.isArray(value)) return 'an array';
  if (typeof value === 'object' && value !== null)
    return `an object of ${value.constructor?.name ?? 'no class'}`;
  return String(value);
}
