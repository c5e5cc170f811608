/** The graphics device in use, and what is open on it. */

import { Device, type Model, type Trainer } from '../../wasm/webmae.js';
import { Closed, DeviceLost, typed, WebGPUUnavailable } from '../errors.ts';
import type { Handle } from '../protocol.ts';
import { whyNoWebGPU } from '../why.ts';
import { applyKnown } from './tiles.ts';

/** How long a device that fails may take to tell that it is lost, in milliseconds. */
const LOSS_DELAY = 100;

/** An open model or trainer. */
export interface Open {
  object: Model | Trainer;
  device: Device;
}

/** Opens a device when one is needed, and another one after it was lost. */
export class Devices {
  readonly #open = new Map<Handle, Open>();
  readonly #first: Handle;
  #next: Handle;
  #device: Device | undefined;

  /** Handles count from `first`; those before were another worker's. */
  constructor(first: Handle) {
    this.#first = first;
    this.#next = first;
  }

  /** A device that works.
   *
   * @throws {WebGPUUnavailable} if there is none. */
  async current(): Promise<Device> {
    if (this.#device && !this.#device.isLost) return this.#device;
    if (!navigator.gpu) throw new WebGPUUnavailable(whyNoWebGPU().join(' '));
    const old = this.#device;
    this.#device = await Device.open();
    await applyKnown(this.#device);
    if (old) this.#freeUnused(old);
    return this.#device;
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
    if (open.device !== this.#device) this.#freeUnused(open.device);
  }

  /** Bytes on the device in use, and what is open. */
  use(): { device: number; open: number } {
    return { device: this.#device?.allocatedBytes ?? 0, open: this.#open.size };
  }

  /** Destroys the device in use. */
  async lose(): Promise<void> {
    const device = this.#device;
    if (!device) return;
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

async function becomesLost(device: Device): Promise<boolean> {
  const until = performance.now() + LOSS_DELAY;
  while (!device.isLost && performance.now() < until) {
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  return device.isLost;
}
