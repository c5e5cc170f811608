/** The worker's side of every call. */

import * as Comlink from 'comlink';
import type {
  CallId,
  EngineApi,
  Events,
  Handle,
  Picture,
  PostedLoadOptions,
  RawReconstruction,
  ReconstructRequest,
  RunEnd,
  WasmSources,
  Weights,
} from '../protocol.ts';
import type {
  DeviceChoice,
  EmbedOptions,
  Fit,
  MemoryUse,
  ModelInfo,
  StepMetrics,
  TrainerInfo,
} from '../types.ts';
import { Calls } from './calls.ts';
import { Devices, guarded, type Opened } from './devices.ts';
import { Meter } from './meter.ts';
import { type Addresses, type Model, Modules, type Trainer } from './modules.ts';
import { read } from './pixels.ts';
import { Queue } from './queue.ts';
import { unpack } from './results.ts';
import { Run } from './run.ts';
import { Saver } from './saver.ts';
import { checkpointFile, weightsFile } from './trained-file.ts';
import { type LoadContext, loadModel, loadTrainer } from './weights.ts';

/** Never aborted: what must be done. */
const NEVER = new AbortController().signal;

/** Models and trainers on the devices that there are. */
export class Engine implements EngineApi {
  readonly #addresses: Addresses;
  readonly #calls = new Calls();
  readonly #queue = new Queue();
  readonly #savers = new Map<Handle, Saver>();
  #modules: Modules;
  #devices: Devices;
  #events: Events | undefined;

  constructor(addresses: Addresses) {
    this.#addresses = addresses;
    this.#modules = new Modules(addresses, {});
    this.#devices = new Devices(this.#modules, 1);
  }

  start(events: Events, wasm: WasmSources, firstHandle: Handle): void {
    this.#events = events;
    this.#modules = new Modules(this.#addresses, wasm);
    this.#devices = new Devices(this.#modules, firstHandle);
  }

  async ready(device: DeviceChoice): Promise<void> {
    await this.#modules.load(await this.#devices.kind(device));
  }

  abort(call: CallId): void {
    this.#calls.abort(call);
  }

  load(
    call: CallId,
    weights: Weights,
    options: PostedLoadOptions,
    wanted: DeviceChoice,
  ): Promise<{ handle: Handle; info: ModelInfo }> {
    return this.#calls.track(call, async (signal) => {
      const opening = this.#device(signal, wanted);
      // The file may fail first; then nobody waits for the device.
      opening.catch(() => {});
      const model = await loadModel(opening, weights, this.#loading(call, signal, options));
      if (signal.aborted) model.free();
      signal.throwIfAborted();
      const { device } = await opening;
      return {
        handle: this.#devices.add(model, device),
        info: JSON.parse(model.info) as ModelInfo,
      };
    });
  }

  async embed(
    call: CallId,
    model: Handle,
    pictures: Picture[],
    pool: EmbedOptions['pool'],
    fit: Fit,
  ): Promise<Float32Array[]> {
    const all = await this.#look(call, model, pictures, fit, (object: Model, images, { kernels }) =>
      object.embed(images, JSON.stringify(pool ?? null), kernels),
    );
    const size = all.length / pictures.length;
    const features = pictures.map((_, i) => all.slice(i * size, (i + 1) * size));
    return Comlink.transfer(
      features,
      features.map(({ buffer }) => buffer),
    );
  }

  async attention(call: CallId, model: Handle, picture: Picture, block: number, fit: Fit) {
    const attention = await this.#look(
      call,
      model,
      [picture],
      fit,
      (object: Model, image, { kernels }) => object.attention(image, block, kernels),
    );
    const { heads, tokens, clsTokens, rows, columns } = attention;
    const weights = attention.weights();
    attention.free();
    const grid: [number, number] = [rows, columns];
    return Comlink.transfer({ heads, tokens, clsTokens, grid, weights }, [weights.buffer]);
  }

  reconstruct(
    call: CallId,
    handle: Handle,
    pictures: Picture[],
    { json, mask, noise, fit }: ReconstructRequest,
  ): Promise<RawReconstruction[]> {
    return this.#look(call, handle, pictures, fit, async (object, images, { kernels }, began) =>
      unpack(await object.reconstruct(images, json, mask, noise, kernels), began),
    );
  }

  createTrainer(
    call: CallId,
    json: string,
    wanted: DeviceChoice,
  ): Promise<{ handle: Handle; info: TrainerInfo }> {
    return this.#openTrainer(call, wanted, async (opening, signal) => {
      const { module, device } = await opening;
      const make = () => new module.Trainer(device, json);
      return this.#queue.run(signal, () => guarded(device, make));
    });
  }

  resumeTrainer(
    call: CallId,
    weights: Weights,
    wanted: DeviceChoice,
  ): Promise<{ handle: Handle; info: TrainerInfo }> {
    return this.#openTrainer(call, wanted, (opening, signal) =>
      loadTrainer(opening, weights, this.#loading(call, signal, { cache: false })),
    );
  }

  compile(call: CallId, handle: Handle): Promise<void> {
    return this.#calls.track(call, async () => {
      const { device } = this.#devices.get(handle);
      await guarded(device, () => device.compile(this.#meter(call).kernels));
    });
  }

  async addImage(call: CallId, trainer: Handle, picture: Picture): Promise<TrainerInfo> {
    return this.#calls.track(call, async (signal) => {
      const { rgba, width, height } = await read(picture, signal);
      return this.#enter(signal, trainer, (object: Trainer) => {
        object.addImage(rgba, width, height);
        return infoOf(object);
      });
    });
  }

  extend(call: CallId, trainer: Handle, steps: number): Promise<TrainerInfo> {
    return this.#use(call, trainer, (object: Trainer) => {
      object.extend(steps);
      return infoOf(object);
    });
  }

  clearImages(call: CallId, trainer: Handle): Promise<TrainerInfo> {
    return this.#use(call, trainer, (object: Trainer) => {
      object.clearImages();
      return infoOf(object);
    });
  }

  step(call: CallId, trainer: Handle): Promise<StepMetrics> {
    return this.#calls.track(call, (signal) => this.#step(signal, trainer, performance.now()));
  }

  run(call: CallId, trainer: Handle, steps: number, port: MessagePort): Promise<RunEnd> {
    return this.#calls.track(call, async (signal) => {
      const run = new Run(port);
      try {
        let last = performance.now();
        for (let done = 0; done < steps && (await run.wanted()); done++) {
          const metrics = await this.#step(signal, trainer, last);
          last = performance.now();
          run.send(metrics);
        }
        return await this.#enter(signal, trainer, async (object: Trainer) => {
          const { step } = infoOf(object);
          const checkpoint = await this.#savers.get(trainer)?.save(object);
          return Comlink.transfer({ step, checkpoint }, checkpoint ? [checkpoint.buffer] : []);
        });
      } finally {
        run.end();
      }
    });
  }

  async save(call: CallId, trainer: Handle): Promise<Uint8Array> {
    const bytes = await this.#use(call, trainer, (object: Trainer) => checkpointFile(object));
    return Comlink.transfer(bytes, [bytes.buffer]);
  }

  async exportWeights(call: CallId, trainer: Handle, half: boolean): Promise<Uint8Array> {
    const bytes = await this.#use(call, trainer, (object: Trainer) => weightsFile(object, half));
    return Comlink.transfer(bytes, [bytes.buffer]);
  }

  async close(handle: Handle): Promise<void> {
    await this.#queue.run(NEVER, () => this.#devices.free(handle));
    this.#savers.delete(handle);
  }

  async memory(): Promise<MemoryUse> {
    return { heap: this.#modules.heap, ...this.#devices.use() };
  }

  async loseDevice(): Promise<void> {
    await this.#devices.lose();
  }

  #openTrainer(
    call: CallId,
    wanted: DeviceChoice,
    make: (opening: Promise<Opened>, signal: AbortSignal) => Promise<Trainer>,
  ): Promise<{ handle: Handle; info: TrainerInfo }> {
    return this.#calls.track(call, async (signal) => {
      const opening = this.#device(signal, wanted);
      // As in `load`.
      opening.catch(() => {});
      const trainer = await make(opening, signal);
      if (signal.aborted) trainer.free();
      signal.throwIfAborted();
      const { device } = await opening;
      // Meanwhile pictures can be added, and the first steps run.
      device.compile(() => {}).catch(() => {});
      this.#devices.tune(device, this.#queue).catch(() => {});
      const info = infoOf(trainer);
      const handle = this.#devices.add(trainer, device);
      this.#savers.set(handle, new Saver(info.parameters));
      return { handle, info };
    });
  }

  /** What loading needs beside the weights. */
  #loading(call: CallId, signal: AbortSignal, options: PostedLoadOptions): LoadContext {
    const exclusively = <T>(task: () => T | Promise<T>) => this.#queue.run(signal, task);
    return { options, signal, meter: this.#meter(call), exclusively };
  }

  /** One step; `last` is when the one before it ended. */
  #step(signal: AbortSignal, trainer: Handle, last: number): Promise<StepMetrics> {
    return this.#enter(signal, trainer, async (object: Trainer) => {
      const metrics = JSON.parse(await object.step()) as StepMetrics;
      const milliseconds = performance.now() - last;
      const { batchSize, gradAccum } = infoOf(object);
      const checkpoint = await this.#savers.get(trainer)?.saveIfDue(object);
      if (checkpoint) {
        this.#events?.saved(trainer, Comlink.transfer(checkpoint, [checkpoint.buffer]));
      }
      return {
        ...metrics,
        milliseconds,
        imagesPerSecond: (1e3 * batchSize * gradAccum) / milliseconds,
      };
    });
  }

  /** Does something with pictures, `[B, C, H, W]` as the model or trainer sees them. */
  #look<T extends Model | Trainer, R>(
    call: CallId,
    handle: Handle,
    pictures: Picture[],
    fit: Fit,
    work: (object: T, images: Float32Array, meter: Meter, began: number) => R | Promise<R>,
  ): Promise<R> {
    return this.#calls.track(call, async (signal) => {
      const began = performance.now();
      const decoded = await Promise.all(pictures.map((picture) => read(picture, signal)));
      const waited = performance.now();
      return this.#enter(signal, handle, (object: T) => {
        const prepared = decoded.map(({ rgba, width, height }) =>
          object.prepare(rgba, width, height, fit === 'stretch'),
        );
        // Waiting for other calls is not this one's time.
        const since = performance.now() - (waited - began);
        return work(object, joined(prepared), this.#meter(call), since);
      });
    });
  }

  #use<T extends Model | Trainer, R>(
    call: CallId,
    handle: Handle,
    work: (object: T) => R | Promise<R>,
  ): Promise<R> {
    return this.#calls.track(call, (signal) => this.#enter(signal, handle, work));
  }

  /** Works with what is open under `handle`, after all that came before. */
  #enter<T extends Model | Trainer, R>(
    signal: AbortSignal,
    handle: Handle,
    work: (object: T) => R | Promise<R>,
  ): Promise<R> {
    return this.#queue.run(signal, () => {
      const { object, device } = this.#devices.get(handle);
      return guarded(device, () => work(object as T));
    });
  }

  async #device(signal: AbortSignal, wanted: DeviceChoice): Promise<Opened> {
    const kind = await this.#devices.kind(wanted);
    // Not in the queue: other work need not wait for a download.
    await this.#modules.load(kind);
    return this.#queue.run(signal, () => this.#devices.current(kind));
  }

  #meter(call: CallId): Meter {
    return new Meter((progress) => this.#events?.progress(call, progress));
  }
}

/** Arrays one after the other. */
function joined(arrays: Float32Array[]): Float32Array {
  const [first] = arrays;
  if (first && arrays.length === 1) return first;
  const all = new Float32Array(arrays.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const array of arrays) {
    all.set(array, at);
    at += array.length;
  }
  return all;
}

function infoOf(trainer: Trainer): TrainerInfo {
  return JSON.parse(trainer.info) as TrainerInfo;
}
