/** A loaded model. */

import { call, closed, deviceFor, release } from './client.ts';
import { callWithPicture, callWithPictures } from './image.ts';
import { ATTENTION, checked, EMBED, LOAD, RECONSTRUCT, requireWhole } from './options.ts';
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
    checked(options, LOAD);
    const { signal: _signal, onProgress: _onProgress, device, hfConfig, ...rest } = options;
    const config = typeof hfConfig === 'object' ? JSON.stringify(hfConfig) : hfConfig;
    const plain = { ...rest, ...(config !== undefined && { hfConfig: config }) };
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
   * @throws {NetworkError} if it cannot be fetched.
   * @throws {BadWeights} if the model has no decoder (`info.reconstructs`).
   * @throws {InvalidOption} for a ratio outside [0, 1) or a mask of another length than there are patches.
   * @throws {DeviceLost | OutOfMemory | Closed} */
  async reconstruct(image: ImageSource, options?: ReconstructOptions): Promise<Reconstruction>;
  /** The same of several pictures, which run together. */
  async reconstruct(
    images: readonly ImageSource[],
    options?: ReconstructOptions,
  ): Promise<Reconstruction[]>;
  async reconstruct(
    images: ImageSource | readonly ImageSource[],
    options: ReconstructOptions = {},
  ): Promise<Reconstruction | Reconstruction[]> {
    this.#open();
    checked(options, RECONSTRUCT);
    const [rows, columns] = this.info.grid;
    const request = reconstructRequest(options, rows * columns);
    return this.#track(
      callWithPictures(images, options, async (engine, id, pictures) =>
        (await engine.reconstruct(id, this.#handle, pictures, request)).map(reconstructionOf),
      ),
    );
  }

  /** The feature of a picture, as many values as the encoder is wide. Nothing is hidden: the same picture
   * has the same feature.
   *
   * @throws {BadImage | NetworkError | InvalidOption | DeviceLost | OutOfMemory | Closed} */
  async embed(image: ImageSource, options?: EmbedOptions): Promise<Float32Array>;
  /** The same of several pictures, which run together. */
  async embed(images: readonly ImageSource[], options?: EmbedOptions): Promise<Float32Array[]>;
  async embed(
    images: ImageSource | readonly ImageSource[],
    options: EmbedOptions = {},
  ): Promise<Float32Array | Float32Array[]> {
    this.#open();
    const { pool, fit = 'crop' } = checked(options, EMBED);
    return this.#track(
      callWithPictures(images, options, (engine, id, pictures) =>
        engine.embed(id, this.#handle, pictures, pool, fit),
      ),
    );
  }

  /** Where the heads of one encoder block look in a picture of which nothing is hidden.
   *
   * @param block From 0; the last one by default.
   * @throws {BadImage | NetworkError | InvalidOption | DeviceLost | OutOfMemory | Closed} */
  async attention(
    image: ImageSource,
    block: number = this.info.config.encoder.depth - 1,
    options: AttentionOptions = {},
  ): Promise<Attention> {
    this.#open();
    const { fit = 'crop' } = checked(options, ATTENTION);
    requireWhole(block, 'block', 0, this.info.config.encoder.depth - 1);
    return this.#track(
      callWithPicture(image, options, (engine, id, picture) =>
        engine.attention(id, this.#handle, picture, block, fit),
      ),
    );
  }

  /** Frees all that the model holds, once calls under way are done. Closing twice does no harm. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    await Promise.allSettled(this.#calls);
    await release(this.#handle);
  }

  async #track<T>(result: Promise<T>): Promise<T> {
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
