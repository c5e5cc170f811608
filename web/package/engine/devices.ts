/** The devices in use, and what is open on them. */

import { choose } from '../choice.ts';
import { Closed, DeviceLost, InvalidOption, typed, WebGPUUnavailable } from '../errors.ts';
import { type Graphics, graphics } from '../graphics.ts';
import type { Handle } from '../protocol.ts';
import { simd } from '../simd.ts';
import type { DeviceChoice, DeviceKind } from '../types.ts';
import { becomesLost } from './loss.ts';
import {
  type Device,
  isAdapter,
  type Model,
  type Module,
  type Modules,
  type Trainer,
} from './modules.ts';
import type { Queue } from './queue.ts';
import { applyKnown, chooseTiles } from './tiles.ts';

/** A device, and the module that it belongs to. */
export interface Opened {
  kind: DeviceKind;
  device: Device;
  module: Module;
}

/** An open model or trainer. */
export interface Open {
  object: Model | Trainer;
  device: Device;
}

/** Opens devices when they are needed, and another one after one was lost. */
export class Devices {
  readonly #modules: Modules;
  readonly #open = new Map<Handle, Open>();
  readonly #current = new Map<DeviceKind, Opened>();
  readonly #first: Handle;
  #next: Handle;
  #graphics: Promise<Graphics> | undefined;

  /** Handles count from `first`; those before were another worker's. */
  constructor(modules: Modules, first: Handle) {
    this.#modules = modules;
    this.#first = first;
    this.#next = first;
  }

  /** The kind of device that is meant.
   *
   * @throws {WebGPUUnavailable} if there is none.
   * @throws {InvalidOption} if it is the processor, and the browser cannot use it. */
  async kind(wanted: DeviceChoice): Promise<DeviceKind> {
    this.#graphics ??= graphics();
    const choice = choose(wanted, await this.#graphics, simd());
    if (choice.device) return choice.device;
    const message = `${choice.why} ${choice.advice}`;
    throw wanted === 'cpu' ? new InvalidOption(message) : new WebGPUUnavailable(message);
  }

  /** A device that works.
   *
   * @throws {NetworkError} if its module cannot be loaded.
   * @throws {WebGPUUnavailable} if it cannot be opened. */
  async current(kind: DeviceKind): Promise<Opened> {
    const old = this.#current.get(kind);
    if (old && !old.device.isLost) return old;
    // It may be another adapter that comes after one that was lost.
    if (old) this.#graphics = undefined;
    const module = await this.#modules.load(kind);
    const opened = { kind, module, device: await module.Device.open() };
    this.#current.set(kind, opened);
    if (isAdapter(opened.device)) await applyKnown(opened.device);
    if (old) this.#freeUnused(old.device);
    return opened;
  }

  /** Gives a graphics card the tiles that suit what was opened on it, in the turns of `queue`. Software would take
   * minutes to measure, and nobody's speed depends on it. */
  async tune(device: Device, queue: Queue): Promise<void> {
    const offered = await this.#graphics;
    if (isAdapter(device) && !offered?.software) await chooseTiles(device, queue);
  }

  /** Keeps an object under a handle. */
  add(object: Model | Trainer, device: Device): Handle {
    const handle = this.#next++;
    this.#open.set(handle, { object, device });
    return handle;
  }

  /** What is open under a handle.
   *
   * @throws {DeviceLost} if its device is lost, or the worker stopped that had it.
   * @throws {Closed} if it was closed. */
  get(handle: Handle): Open {
    const open = this.#open.get(handle);
    if (open ? open.device.isLost : handle < this.#first) throw lost();
    if (!open) throw new Closed('It was closed meanwhile; open another one.');
    return open;
  }

  /** Frees what is open under a handle. */
  free(handle: Handle): void {
    const open = this.#open.get(handle);
    if (!open) return;
    this.#open.delete(handle);
    open.object.free();
    const inUse = [...this.#current.values()].some(({ device }) => device === open.device);
    if (!inUse) this.#freeUnused(open.device);
  }

  /** Bytes on the devices in use, and what is open. */
  use(): { device: number; open: number } {
    let device = 0;
    for (const current of this.#current.values()) device += current.device.allocatedBytes;
    return { device, open: this.#open.size };
  }

  /** Destroys the graphics device in use. */
  async lose(): Promise<void> {
    const device = this.#current.get('webgpu')?.device;
    if (!device || !isAdapter(device)) return;
    device.lose();
    await becomesLost(device);
  }

  #freeUnused(device: Device): void {
    for (const open of this.#open.values()) if (open.device === device) return;
    device.free();
  }
}

/** Works with a device; whatever fails because the device was lost fails with {@link DeviceLost}. */
export async function guarded<T>(device: Device, work: () => T | Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    const known = typed(error);
    if (known.name === 'Internal' && (await becomesLost(device))) throw lost();
    throw known;
  }
}

function lost(): DeviceLost {
  return new DeviceLost(
    'The graphics device was lost: a driver reset, or the browser needed it. Load the model again; training goes on with Trainer.resume(trainer.lastSave).',
  );
}
