/** Training in the tab. */

import * as Comlink from 'comlink';
import { call, closed, deviceFor, onSave, release } from './client.ts';
import { InvalidOption } from './errors.ts';
import { callWithPicture, callWithPictures } from './image.ts';
import { Inbox } from './inbox.ts';
import {
  CALL,
  checked,
  EXPORT,
  RECONSTRUCT,
  RESUME,
  requireList,
  requireWhole,
  TRAIN,
} from './options.ts';
import type { FromRun, Handle, ToRun } from './protocol.ts';
import { reconstructionOf, reconstructRequest } from './results.ts';
import type {
  CallOptions,
  ExportOptions,
  ImageSource,
  Reconstruction,
  ReconstructOptions,
  ResumeOptions,
  StepMetrics,
  TrainerInfo,
  TrainerOptions,
  WeightsSource,
} from './types.ts';
import { postWeights } from './weights-source.ts';

/** Pictures, all at hand or one after the other. */
export type Images = Iterable<ImageSource> | AsyncIterable<ImageSource>;

/** A masked autoencoder in training on the visitor's graphics card or processor, step for step as the command line
 * trains it. */
export class Trainer {
  readonly #handle: Handle;
  #info: TrainerInfo;
  #lastSave: Uint8Array | undefined;
  #closed = false;
  #running = false;

  private constructor({ handle, info }: { handle: Handle; info: TrainerInfo }) {
    this.#handle = handle;
    this.#info = info;
    onSave(handle, (checkpoint) => {
      this.#lastSave = checkpoint;
    });
  }

  /** A model with fresh parameters.
   *
   * @throws {InvalidOption} for values that cannot be used, which it names.
   * @throws {BadImage} for a picture that cannot be read.
   * @throws {WebGPUUnavailable | OutOfMemory} */
  static async create(options: TrainerOptions = {}): Promise<Trainer> {
    const { signal, onProgress, images, device, ...plain } = checked(options, TRAIN);
    const json = JSON.stringify(plain);
    const wanted = deviceFor(device);
    const opened = await call(
      options,
      (engine, id) => engine.createTrainer(id, json, wanted),
      ({ handle }) => void release(handle),
    );
    return Trainer.#with(opened, images, {
      ...(signal && { signal }),
      ...(onProgress && { onProgress }),
    });
  }

  /** Goes on from a checkpoint, made here or by the command line, on this device or another. Pictures are not
   * in it.
   *
   * @throws {BadWeights} if it is no checkpoint.
   * @throws {BadImage} for a picture that cannot be read.
   * @throws {NetworkError | WebGPUUnavailable | OutOfMemory} */
  static async resume(checkpoint: WeightsSource, options: ResumeOptions = {}): Promise<Trainer> {
    const { images, device, ...others } = checked(options, RESUME);
    const weights = postWeights(checkpoint);
    const wanted = deviceFor(device);
    const opened = await call(
      options,
      (engine, id) => engine.resumeTrainer(id, weights, wanted),
      ({ handle }) => void release(handle),
    );
    const trainer = await Trainer.#with(opened, images, others);
    if (checkpoint instanceof Uint8Array) trainer.#lastSave ??= checkpoint;
    return trainer;
  }

  static async #with(
    opened: { handle: Handle; info: TrainerInfo },
    images: Images | undefined,
    options: CallOptions,
  ): Promise<Trainer> {
    const trainer = new Trainer(opened);
    try {
      if (images) await trainer.addImages(images, options);
      await call(options, (engine, id) => engine.compile(id, trainer.#handle));
      return trainer;
    } catch (error) {
      await trainer.close();
      throw error;
    }
  }

  /** What the trainer is, as of the last step that was seen. */
  get info(): TrainerInfo {
    return this.#info;
  }

  /** The last checkpoint: what {@link save} returned, or what was saved by itself every half minute of
   * training and at the end of each {@link run}. The latter only for models of up to 20 million
   * parameters: larger ones are saved when you say so. After a `DeviceLost`,
   * `Trainer.resume(trainer.lastSave, { images })` goes on from there on a new device. */
  get lastSave(): Uint8Array | undefined {
    return this.#lastSave;
  }

  /** Adds pictures to learn from; returns how many there are now. Those before a bad one stay.
   *
   * @throws {BadImage | Closed} */
  async addImages(images: Images, options: CallOptions = {}): Promise<number> {
    this.#open();
    checked(options, CALL);
    requireList(images);
    const total = Array.isArray(images) ? images.length : undefined;
    let done = 0;
    for await (const image of images) {
      this.#info = await callWithPicture(image, options, (engine, id, picture) =>
        engine.addImage(id, this.#handle, picture),
      );
      done += 1;
      options.onProgress?.({ stage: 'images', done, ...(total !== undefined && { total }) });
    }
    return this.#info.images;
  }

  /** Forgets all pictures. What was learnt stays. */
  async clearImages(): Promise<void> {
    this.#open();
    this.#info = await call({}, (engine, id) => engine.clearImages(id, this.#handle));
  }

  /** One step. A step that has begun is not cancelled.
   *
   * @throws {InvalidOption} without pictures.
   * @throws {Diverged | DeviceLost | OutOfMemory | Closed} */
  async step(options: CallOptions = {}): Promise<StepMetrics> {
    this.#open();
    checked(options, CALL);
    const metrics = await call(options, (engine, id) => engine.step(id, this.#handle));
    this.#seen(metrics.step);
    return metrics;
  }

  /** Trains, step after step, for as long as the steps are asked for: `for await (const m of
   * trainer.run())`. The worker goes up to two steps ahead and does not depend on the page being visible. Leaving
   * the loop stops it. Other calls are answered in between.
   *
   * @param steps By default as many as the schedule has left.
   * @throws {InvalidOption} without pictures, or while another run goes on.
   * @throws {Diverged | DeviceLost | OutOfMemory | Closed} */
  async *run(
    steps: number = Math.max(0, this.#info.totalSteps - this.#info.step),
    options: CallOptions = {},
  ): AsyncGenerator<StepMetrics, void, void> {
    this.#open();
    checked(options, CALL);
    if (steps !== Number.POSITIVE_INFINITY) {
      requireWhole(steps, 'steps', 0, Number.MAX_SAFE_INTEGER);
    }
    if (this.#running)
      throw new InvalidOption('Another run of this trainer goes on; end it first.');
    this.#running = true;
    const { signal, onProgress } = options;
    const { port1: port, port2: workerPort } = new MessageChannel();
    const inbox = new Inbox<StepMetrics>();
    port.onmessage = ({ data }: MessageEvent<FromRun>) =>
      data === 'end' ? inbox.end() : inbox.push(data);
    const stop = () => port.postMessage('stop' satisfies ToRun);
    signal?.addEventListener('abort', stop);
    const running = call({}, (engine, id) =>
      engine.run(id, this.#handle, steps, Comlink.transfer(workerPort, [workerPort])),
    );
    running.catch(() => inbox.end());
    try {
      let done = 0;
      for await (const metrics of inbox) {
        signal?.throwIfAborted();
        port.postMessage('taken' satisfies ToRun);
        this.#seen(metrics.step);
        done += 1;
        onProgress?.({ stage: 'train', done, ...(Number.isFinite(steps) && { total: steps }) });
        yield metrics;
      }
      await running;
      signal?.throwIfAborted();
    } finally {
      stop();
      const end = await running.catch(() => undefined);
      if (end) this.#seen(end.step);
      if (end?.checkpoint) this.#lastSave = end.checkpoint;
      signal?.removeEventListener('abort', stop);
      port.close();
      this.#running = false;
    }
  }

  /** Makes the schedule `steps` steps longer, for a run that is to go on after its end: one curve of the learning
   * rate over all steps, so that it rises again from where it ended. The warm-up stays as it was.
   *
   * @throws {InvalidOption | Closed} */
  async extend(steps: number): Promise<TrainerInfo> {
    this.#open();
    requireWhole(steps, 'steps', 1, 2 ** 32 - 1);
    this.#info = await call({}, (engine, id) => engine.extend(id, this.#handle, steps));
    return this.#info;
  }

  /** Masks and reconstructs a picture with the weights as they are now: their moving average where one is kept (`ema`).
   *
   * @throws {BadImage | InvalidOption | DeviceLost | OutOfMemory | Closed} */
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
    const [rows, columns] = this.#info.grid;
    const request = reconstructRequest(options, rows * columns);
    return callWithPictures(images, options, async (engine, id, pictures) =>
      (await engine.reconstruct(id, this.#handle, pictures, request)).map(reconstructionOf),
    );
  }

  /** A checkpoint: all that is needed to go on, here or on the command line.
   *
   * @throws {DeviceLost | Closed} */
  async save(): Promise<Uint8Array> {
    this.#open();
    const checkpoint = await call({}, (engine, id) => engine.save(id, this.#handle));
    this.#lastSave = checkpoint;
    return checkpoint;
  }

  /** The weights alone, or their moving average where one is kept (`ema`), as a safetensors file, which
   * {@link MAE.load} and the command line read; in f32 by default.
   *
   * @throws {BadWeights} if a value is beyond what `f16` holds.
   * @throws {InvalidOption | DeviceLost | Closed} */
  async exportWeights(options: ExportOptions = {}): Promise<Uint8Array> {
    this.#open();
    const { precision } = checked(options, EXPORT);
    return call({}, (engine, id) => engine.exportWeights(id, this.#handle, precision === 'f16'));
  }

  /** Stops a run and frees all that the trainer holds; {@link lastSave} stays. Closing twice does no
   * harm. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    await release(this.#handle);
  }

  #open(): void {
    if (this.#closed) throw closed('trainer');
  }

  #seen(step: number): void {
    this.#info = { ...this.#info, step };
  }
}
