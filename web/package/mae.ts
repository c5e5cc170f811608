/** A loaded model. */

import { call, closed, deviceFor, release } from './client.ts';
import { callWithPicture } from './image.ts';
import { toJson } from './options.ts';
import type { Handle } from './protocol.ts';
import { reconstructionOf, reconstructRequest } from './results.ts';
import type {
  Attention,
  AttentionOptions,
  EmbedOptions,
  ImageSource,
  LoadOptions,
  ModelInfo,
  Reconstruction,
  ReconstructOptions,
  WeightsSource,
} from './types.ts';
import { postWeights } from './weights-source.ts';

/** A masked autoencoder, or the encoder of one, on the visitor's graphics card or processor. Several may be open;
 * calls of all of them run one after the other. */
export class MAE {
  /** What the model is. */
  readonly info: ModelInfo;
  readonly #handle: Handle;
  /** Calls under way, also those whose picture is not on its way to the worker yet. */
  readonly #calls = new Set<Promise<unknown>>();
  #closed = false;

  private constructor(handle: Handle, info: ModelInfo) {
    this.#handle = handle;
    this.info = info;
  }

  /** Loads weights: a safetensors file of this project, of FAIR's or Hugging Face's ViTMAE or of
   * vit-pytorch, in f32, f16 or bf16, or a training checkpoint. They go to the device tensor by tensor;
   * downloads are kept for the next time and go on where they broke off.
   *
   * @param source An address, a `File` or `Blob`, bytes, or `'tiny'` for the model in the package.
   * @throws {NetworkError} if the file cannot be fetched.
   * @throws {BadWeights} if it is no model, not whole, or not what `integrity` says.
   * @throws {InvalidOption} if options do not fit the file.
   * @throws {QuotaExceeded} if there is no room to keep the file and `cache: true` insists.
   * @throws {OutOfMemory} if it does not fit on the device.
   * @throws {WebGPUUnavailable} if this browser cannot run models. */
  static async load(source: WeightsSource, options: LoadOptions = {}): Promise<MAE> {
    const { signal: _signal, onProgress: _onProgress, device, ...plain } = options;
    const weights = postWeights(source);
    const wanted = deviceFor(device);
    const { handle, info } = await call(
      options,
      (engine, id) => engine.load(id, weights, plain, wanted),
      ({ handle }) => void release(handle),
    );
    return new MAE(handle, info);
  }

  /** Hides patches of a picture and lets the model predict them.
   *
   * @throws {BadImage} if the picture cannot be read.
   * @throws {BadWeights} if the model has no decoder (`info.reconstructs`).
   * @throws {InvalidOption} for a ratio outside [0, 1) or a mask of another length than there are patches.
   * @throws {DeviceLost | OutOfMemory | Closed} */
  async reconstruct(image: ImageSource, options: ReconstructOptions = {}): Promise<Reconstruction> {
    this.#open();
    const request = reconstructRequest(options);
    const raw = await this.#call(image, options, (engine, id, picture) =>
      engine.reconstruct(id, this.#handle, picture, request),
    );
    return reconstructionOf(raw);
  }

  /** The feature of a picture, as many values as the encoder is wide. Nothing is hidden: the same picture
   * has the same feature.
   *
   * @throws {BadImage | InvalidOption | DeviceLost | OutOfMemory | Closed} */
  async embed(image: ImageSource, options: EmbedOptions = {}): Promise<Float32Array> {
    this.#open();
    const { signal: _signal, onProgress: _onProgress, ...plain } = options;
    const json = toJson(plain);
    return this.#call(image, options, (engine, id, picture) =>
      engine.embed(id, this.#handle, picture, json),
    );
  }

  /** Where the heads of one encoder block look in a picture of which nothing is hidden.
   *
   * @param block From 0; the last one by default.
   * @throws {BadImage | InvalidOption | DeviceLost | OutOfMemory | Closed} */
  async attention(
    image: ImageSource,
    block: number = this.info.config.encoder.depth - 1,
    options: AttentionOptions = {},
  ): Promise<Attention> {
    this.#open();
    return this.#call(image, options, (engine, id, picture) =>
      engine.attention(id, this.#handle, picture, block, options.fit ?? 'crop'),
    );
  }

  /** Frees all that the model holds, once calls under way are done. Closing twice does no harm. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    await Promise.allSettled(this.#calls);
    await release(this.#handle);
  }

  async #call<T>(...arguments_: Parameters<typeof callWithPicture<T>>): Promise<T> {
    const result = callWithPicture(...arguments_);
    this.#calls.add(result);
    try {
      return await result;
    } finally {
      this.#calls.delete(result);
    }
  }

  #open(): void {
    if (this.#closed) throw closed('model');
  }
}
