/** What the page and its worker tell each other. */

import type {
  CachedWeights,
  DeviceChoice,
  DeviceKind,
  EmbedOptions,
  Fit,
  LoadOptions,
  MemoryUse,
  ModelInfo,
  Progress,
  StepMetrics,
  TrainerInfo,
} from './types.ts';

/** Number of a call, with which it is cancelled and reports its progress. */
export type CallId = number;

/** Number of an open model or trainer. */
export type Handle = number;

/** A picture on its way to the worker. */
export interface Picture {
  /** Text is an address. */
  pixels: ImageBitmap | ImageData | Blob | string;
  /** What to call it in a message. */
  name: string;
}

/** Weights on their way to the worker. */
export type Weights = { blob: Blob; name: string } | { url: string; shipped: boolean };

/** Options of a load that can be posted. */
export type PostedLoadOptions = Omit<
  LoadOptions,
  'signal' | 'onProgress' | 'device' | 'hfConfig'
> & {
  /** Its text. */
  hfConfig?: string;
};

/** Where the modules for each kind of device are, if not beside the worker. */
export type WasmSources = Partial<Record<DeviceKind, string | BufferSource>>;

/** A reconstruction's parts, transferred. */
export interface RawReconstruction {
  width: number;
  height: number;
  grid: [number, number];
  original: Uint8Array<ArrayBuffer>;
  masked: Uint8Array<ArrayBuffer>;
  prediction: Uint8Array<ArrayBuffer>;
  reconstruction: Uint8Array<ArrayBuffer>;
  mask: Uint8Array;
  patchError: Float32Array;
  loss: number;
  milliseconds: number;
}

/** How a reconstruction is asked for. */
export interface ReconstructRequest {
  /** JSON of the plain options. */
  json: string;
  mask?: Uint8Array | undefined;
  noise?: Float32Array | undefined;
  fit: Fit;
}

/** What the worker tells unasked. */
export interface Events {
  progress(call: CallId, progress: Progress): void;
  /** A trainer was saved by itself. */
  saved(trainer: Handle, checkpoint: Uint8Array): void;
}

/** Through the port of a run: steps as they are done, then the end. */
export type FromRun = StepMetrics | 'end';

/** Through the port of a run: that a step was taken note of, or that it shall end. */
export type ToRun = 'taken' | 'stop';

/** How a run ended. */
export interface RunEnd {
  /** Steps that the trainer has done in all. */
  step: number;
  /** The state then, for models that are saved by themselves. */
  checkpoint: Uint8Array | undefined;
}

/** What the worker does. */
export interface EngineApi {
  /** Says who listens, where WebAssembly is if not beside, and the first handle to give, which no worker before
   * this one gave. */
  start(events: Events, wasm: WasmSources, firstHandle: Handle): void;
  /** Loads the device's module, which everything below does by itself. */
  ready(device: DeviceChoice): Promise<void>;
  abort(call: CallId): void;

  load(
    call: CallId,
    weights: Weights,
    options: PostedLoadOptions,
    device: DeviceChoice,
  ): Promise<{ handle: Handle; info: ModelInfo }>;
  /** Features of some pictures, which run together. */
  embed(
    call: CallId,
    model: Handle,
    pictures: Picture[],
    pool: EmbedOptions['pool'],
    fit: Fit,
  ): Promise<Float32Array[]>;
  attention(
    call: CallId,
    model: Handle,
    picture: Picture,
    block: number,
    fit: Fit,
  ): Promise<{
    heads: number;
    tokens: number;
    clsTokens: number;
    grid: [number, number];
    weights: Float32Array;
  }>;
  /** Of a model or a trainer; the pictures run together. */
  reconstruct(
    call: CallId,
    handle: Handle,
    pictures: Picture[],
    request: ReconstructRequest,
  ): Promise<RawReconstruction[]>;

  createTrainer(
    call: CallId,
    json: string,
    device: DeviceChoice,
  ): Promise<{ handle: Handle; info: TrainerInfo }>;
  resumeTrainer(
    call: CallId,
    weights: Weights,
    device: DeviceChoice,
  ): Promise<{ handle: Handle; info: TrainerInfo }>;
  /** Waits for the kernels of a model or trainer, which are compiled from its opening on. */
  compile(call: CallId, handle: Handle): Promise<void>;
  addImage(call: CallId, trainer: Handle, picture: Picture): Promise<TrainerInfo>;
  clearImages(call: CallId, trainer: Handle): Promise<TrainerInfo>;
  extend(call: CallId, trainer: Handle, steps: number): Promise<TrainerInfo>;
  step(call: CallId, trainer: Handle): Promise<StepMetrics>;
  /** Trains until `steps` are done or `port` says stop; metrics go through `port`. */
  run(call: CallId, trainer: Handle, steps: number, port: MessagePort): Promise<RunEnd>;
  save(call: CallId, trainer: Handle): Promise<Uint8Array>;
  exportWeights(call: CallId, trainer: Handle, half: boolean): Promise<Uint8Array>;

  close(handle: Handle): Promise<void>;
  memory(): Promise<MemoryUse>;
  loseDevice(): Promise<void>;
}

/** What is known of a file in the cache, kept beside it as JSON. */
export interface CacheEntry extends CachedWeights {
  /** Bytes in all, where the server told. */
  size?: number;
  /** SHA-256 of each block, for complete files. */
  blocks?: string[];
  etag?: string;
  lastModified?: string;
  /** The `config.json` beside the weights. */
  hfConfig?: string;
  /** Milliseconds since 1970. */
  lastUsed: number;
}
