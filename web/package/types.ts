/** The public types of the package `webmae`. */

/** A picture in any form that a browser holds one in, or its address. `Blob` includes `File`. What is transparent
 * stands on white. */
export type ImageSource =
  | string
  | URL
  | ImageBitmap
  | ImageData
  | HTMLImageElement
  | HTMLCanvasElement
  | OffscreenCanvas
  | HTMLVideoElement
  | VideoFrame
  | Blob;

/** Where weights come from: an address, a file on the visitor's disk, their bytes, or the name of a
 * model that comes with the package. */
export type WeightsSource = 'tiny' | (string & {}) | URL | Blob | ArrayBuffer | Uint8Array;

/** What models run on: a graphics adapter through WebGPU, or the processor through WebAssembly. */
export type DeviceKind = 'webgpu' | 'cpu';

/** What to run on: a graphics card if there is one, else the processor; or one of the two in any case. */
export type DeviceChoice = 'auto' | DeviceKind;

/** How far something long has come. */
export interface Progress {
  /** What is being done: a file is fetched, or read from the cache or the disk; kernels are compiled for the
   * GPU; pictures are added; steps are trained. */
  stage: 'download' | 'weights' | 'kernels' | 'images' | 'train';
  /** Bytes, kernels, pictures or steps done. */
  done: number;
  /** Bytes, kernels, pictures or steps in all; absent where it is not known. */
  total?: number;
}

/** Options that every long call takes. */
export interface CallOptions {
  /** Cancels the call, which then rejects with the signal's reason. */
  signal?: AbortSignal;
  /** Called as the work goes on. */
  onProgress?: (progress: Progress) => void;
}

/** The sizes of a stack of transformer blocks. */
export interface StackConfig {
  /** Width of a token. */
  dim: number;
  /** Number of blocks. */
  depth: number;
  /** Attention heads. */
  heads: number;
  /** Width of one head. */
  dim_head: number;
  /** Hidden width of the MLP. */
  mlp_dim: number;
}

/** A model's architecture, as in `config.json` of the command line. */
export interface ModelConfig {
  /** `paper` is FAIR's and Hugging Face's form, `plain` and `vit-pytorch` those of vit-pytorch. */
  variant: 'paper' | 'plain' | 'vit-pytorch';
  /** Height and width in pixels. */
  image_size: [number, number];
  /** Height and width of a patch in pixels. */
  patch_size: [number, number];
  /** Channels of the image; the browser has pictures with 3 (RGB) or 1 (grey). */
  channels: number;
  encoder: StackConfig;
  decoder: StackConfig;
  /** Share of patches that are hidden, in [0, 1). */
  mask_ratio: number;
  mask_strategy: MaskStrategy;
  /** Whether targets are normalised by each patch's mean and variance. */
  norm_pix_loss: boolean;
  /** Whether mask tokens run through the encoder as well. */
  encoder_mask_tokens: boolean;
  /** Position embeddings of encoder and decoder: the fixed sin-cos table, or random at first and trained. Absent where
   * they are the variant's own: fixed in `paper`, learned in the others. */
  positions?: 'sincos' | 'learned';
  /** LayerNorm's epsilon. */
  layer_norm_eps: number;
  /** Share of values that training drops in each block of the encoder, in [0, 1); absent where it is 0, as always in
   * the form `paper`. On the processor only the command line trains with it. */
  dropout?: number;
  /** The same behind the position embedding, in training with labels, which the command line has. */
  emb_dropout?: number;
}

/** How hidden patches are chosen: anywhere, in rectangles, or on a regular grid. */
export type MaskStrategy = 'random' | 'block' | 'grid';

/** How a picture of other proportions becomes the model's size: its centre, or all of it squeezed. */
export type Fit = 'crop' | 'stretch';

/** How a prediction of normalised patches becomes pixels: as it is; with the hidden patch's own mean
 * and deviation, which uses the answer; or with those of visible neighbours. */
export type View = 'raw' | 'true-statistics' | 'visible-statistics';

/** What a weights file is. */
export interface WeightsInfo {
  /** Whose names the tensors have, e.g. `Hugging Face ViTMAE`. */
  format: string;
  /** What the file holds. */
  kind: 'mae' | 'encoder' | 'decoder' | 'classifier';
  /** `kind` in words. */
  description: string;
  /** Number of values. */
  parameters: number;
  /** Bytes of the file. */
  bytes: number;
  /** Training steps behind it, for a checkpoint. */
  step?: number;
  /** Text entries of the file's header. */
  metadata: Record<string, string>;
}

/** What a loaded model is. */
export interface ModelInfo {
  /** What it runs on. */
  device: DeviceKind;
  config: ModelConfig;
  /** Patches per column and per row. */
  grid: [number, number];
  weights: WeightsInfo;
  /** Whether it has a decoder, so that it can reconstruct. */
  reconstructs: boolean;
  /** Mean and standard deviation of the pixels that it was trained on, by channel, in 0..1. */
  normalization: { mean: number[]; std: number[] };
}

/** Options of {@link MAE.reconstruct}. Of `mask`, `noise` and `seed` the first given one decides. Of several
 * pictures each is masked as it would be alone. */
export interface ReconstructOptions extends CallOptions {
  /** Share of patches to hide, in [0, 1); the model's own by default. */
  maskRatio?: number;
  /** How hidden patches are chosen; the model's own way by default. */
  strategy?: MaskStrategy;
  /** Seed of the mask, 0 by default; the same seed hides the same patches everywhere. */
  seed?: number;
  /** Patches to hide, by row: one entry for each, 1 or `true` for hidden, 0 or `false` for visible. */
  mask?: ArrayLike<number | boolean>;
  /** One value for each patch: those with the largest are hidden (the smallest in the plain form). */
  noise?: ArrayLike<number>;
  /** For models with `norm_pix_loss`; `visible-statistics` by default. */
  view?: View;
  /** `crop` by default. */
  fit?: Fit;
}

/** What the model made of a masked picture. Pictures have the model's size. */
export interface Reconstruction {
  /** Patches per column and per row. */
  grid: [number, number];
  /** What the model would have seen without a mask. */
  original: ImageData;
  /** Visible patches on transparent ground: hidden pixels are not in it. */
  masked: ImageData;
  /** The prediction of every patch. No loss trained those that were visible: they mean nothing. */
  prediction: ImageData;
  /** The prediction of hidden patches with the visible ones in between. */
  reconstruction: ImageData;
  /** One entry a patch, by row: 1 where it was hidden. */
  mask: Uint8Array;
  /** Mean squared error of each hidden patch in the loss's units, 0 for visible ones. */
  patchError: Float32Array;
  /** Mean of `patchError` over hidden patches. */
  loss: number;
  /** From the picture in the worker to the pixels: preparation, GPU and transfer. */
  milliseconds: number;
}

/** Options of {@link MAE.embed}. */
export interface EmbedOptions extends CallOptions {
  /** The cls token after the final norm, or the mean of the patch tokens; by default `cls` where the
   * model has one. */
  pool?: 'cls' | 'mean';
  /** `crop` by default. */
  fit?: Fit;
}

/** Options of {@link MAE.attention}. */
export interface AttentionOptions extends CallOptions {
  /** `crop` by default. */
  fit?: Fit;
}

/** Softmax weights of one encoder block on an unmasked picture. */
export interface Attention {
  /** Number of heads. */
  heads: number;
  /** Number of tokens: cls, where the model has one, then the patches by row. */
  tokens: number;
  /** 1 where a cls token leads. */
  clsTokens: number;
  /** Patches per column and per row. */
  grid: [number, number];
  /** `[heads, tokens, tokens]`: how much each token (row) looks at each other (column). */
  weights: Float32Array;
}

/** Options of {@link Trainer.resume}. */
export interface ResumeOptions extends CallOptions {
  /** What to run on; `auto` by default. */
  device?: DeviceChoice;
  /** Pictures to learn from, which a checkpoint does not hold; more can be added later. */
  images?: Iterable<ImageSource> | AsyncIterable<ImageSource>;
}

/** Options of {@link Trainer.exportWeights}. */
export interface ExportOptions {
  /** `f32` by default; `f16` is half as large, and rounded. */
  precision?: 'f32' | 'f16';
}

/** Options of {@link Trainer.create}. */
export interface TrainerOptions extends CallOptions {
  /** What to run on; `auto` by default. */
  device?: DeviceChoice;
  /** `tiny` by default. Not with `config`. */
  preset?: 'nano' | 'tiny' | 'small' | 'vit-b' | 'vit-l' | 'vit-h' | 'plain';
  /** Fields that differ from the preset, or a whole architecture. */
  config?: Partial<ModelConfig>;
  /** Pictures to learn from; more can be added later. */
  images?: Iterable<ImageSource> | AsyncIterable<ImageSource>;
  /** Pictures a step, 16 by default. */
  batchSize?: number;
  /** Batches whose gradients make one step, 1 by default. */
  gradAccum?: number;
  /** Keep less on the device and compute it again when gradients need it: less memory, more time, the
   * same results; `false` by default. */
  recompute?: boolean;
  /** How weights and activations are kept in the computation: `f16` takes half the memory and needs an adapter
   * with `shader-f16`, so WebGPU; parameters, their gradients and the optimiser stay in `f32`, the default. */
  precision?: 'f32' | 'f16';
  /** Length of the schedule in steps, 1000 by default. After it the learning rate stays at `minLr`, which teaches
   * nothing where that is 0: see {@link Trainer.extend}. */
  steps?: number;
  /** Steps in which the learning rate rises, a tenth of `steps` by default. */
  warmupSteps?: number;
  /** Highest learning rate, 1.5e-3 by default. */
  lr?: number;
  /** Learning rate in the end, 0 by default. */
  minLr?: number;
  /** Decoupled weight decay, 0.05 by default. */
  weightDecay?: number;
  /** AdamW's decay rates, 0.9 and 0.95 by default. */
  betas?: [number, number];
  /** Largest gradient norm; 0, the default, does not clip. */
  clipGrad?: number;
  /** Decay of an exponential moving average of the weights, such as 0.9999, at least 0 and below 1; none is kept by
   * default. Reconstructions and exported weights are then the average. After `t` steps the decay is
   * `(1 + t) / (10 + t)` at most, so that a short run is not held back by its beginning. */
  ema?: number;
  /** Random resized crops, random crops of fixed size, the centre, or the whole picture squeezed;
   * `random` by default. */
  crop?: 'random' | 'fixed' | 'center' | 'none';
  /** Mirror half of the pictures, `true` by default. */
  flip?: boolean;
  /** Vary brightness, contrast, saturation and hue, `false` by default. */
  colorJitter?: boolean;
  /** Seed of parameters, order, crops and masks, 0 by default. */
  seed?: number;
}

/** One training step. */
export interface StepMetrics {
  /** Steps done, this one included. */
  step: number;
  /** Passes over the pictures so far. */
  epoch: number;
  loss: number;
  lr: number;
  /** Global norm of the gradients before clipping. */
  gradNorm: number;
  /** False where the step was left out because its numbers were not finite. */
  applied: boolean;
  /** With `precision: 'f16'`: factor of the loss of which gradients were computed. */
  lossScale?: number;
  /** Milliseconds since the last step's end. */
  milliseconds: number;
  imagesPerSecond: number;
}

/** What a trainer is. */
export interface TrainerInfo {
  /** What it runs on. */
  device: DeviceKind;
  config: ModelConfig;
  /** Patches per column and per row. */
  grid: [number, number];
  /** Number of trained values. */
  parameters: number;
  /** Steps done. */
  step: number;
  /** Length of the schedule in steps. */
  totalSteps: number;
  batchSize: number;
  gradAccum: number;
  recompute: boolean;
  precision: 'f32' | 'f16';
  lr: number;
  /** Decay of the moving average of the weights, if one is kept. */
  ema?: number;
  seed: number;
  /** Pictures to learn from. */
  images: number;
  /** Floating-point operations of a step's matrix products and attention. */
  flopsPerStep: number;
  /** Bytes on the device: parameters, optimiser, activations. */
  deviceBytes: number;
  normalization: { mean: number[]; std: number[] };
}

/** The graphics adapter in use. */
export interface AdapterInfo {
  /** As far as the browser tells. */
  name: string;
  /** E.g. `integrated GPU`; `software (CPU)` where no GPU is used. */
  kind: string;
  /** Largest storage binding in bytes. */
  maxBinding: number;
  /** Largest buffer in bytes. */
  maxBuffer: number;
  /** Names of optional features. */
  features: string[];
}

/** What this browser can do. */
export interface Support {
  /** What models run on; absent if they cannot be run here. */
  device?: DeviceKind;
  /** Why it is this one, or why there is none, in sentences. */
  why: string;
  /** Whether WebGPU has an adapter. */
  webgpu: boolean;
  /** Why not, in a sentence; absent if it has one. */
  reason?: string;
  /** What the visitor can do about it; absent if there is nothing to do. */
  advice?: string;
  /** WebGPU's adapter. */
  adapter?: AdapterInfo;
  /** Whether WebGPU's adapter is the processor: correct, but slower than WebAssembly, so that it is used only where
   * `webgpu` is asked for. */
  software: boolean;
  /** Whether downloaded weights can be kept, and where. */
  cache: 'opfs' | 'none';
  /** Bytes that the browser lets this site keep, and those in use. */
  quota?: { available: number; used: number };
}

/** Memory in use. */
export interface MemoryUse {
  /** Bytes in buffers on the device. */
  device: number;
  /** Bytes of the WebAssembly heap, which grows and never shrinks. */
  heap: number;
  /** Open models and trainers. */
  open: number;
}

/** A file in the cache of weights. */
export interface CachedWeights {
  url: string;
  /** Bytes kept so far. */
  bytes: number;
  /** Whether all of it is there. */
  complete: boolean;
  /** SHA-256 in hexadecimal, for complete files. */
  sha256?: string;
}

/** Address or bytes of WebAssembly. */
export type WasmSource = string | URL | ArrayBuffer | Uint8Array;

/** Options of `init`. */
export interface InitOptions {
  /** The module for WebGPU, by default the package's `webmae_bg.wasm`. */
  wasm?: WasmSource;
  /** The module for the processor, by default the package's `webmae_cpu_relaxed_bg.wasm`, or `webmae_cpu_bg.wasm`
   * where the browser has no relaxed SIMD. */
  wasmCpu?: WasmSource;
  /** What models and trainers run on that do not say so themselves; `auto` by default. */
  device?: DeviceChoice;
  /** Address of the package's `worker.js`, where a bundler does not find it by itself. */
  worker?: string | URL;
}

/** Options of {@link MAE.load}. */
export interface LoadOptions extends CallOptions {
  /** What to run on; `auto` by default. */
  device?: DeviceChoice;
  /** Expected SHA-256 of the file, in hexadecimal or as `sha256-<base64>`. */
  integrity?: string;
  /** Keep the download for the next time, `true` by default. */
  cache?: boolean;
  /** The model's own `config.json` (Hugging Face), as an object or its text, where the file alone does not tell;
   * for addresses the file of that name beside the weights is tried by default. */
  hfConfig?: string | object;
  /** What weights alone cannot tell; not used where the file, or a `config.json`, says it. */
  overrides?: {
    encoderHeads?: number;
    decoderHeads?: number;
    imageSize?: [number, number];
    patchSize?: [number, number];
    channels?: number;
    maskRatio?: number;
    normPixLoss?: boolean;
    layerNormEps?: number;
  };
}
