/** The devices that all models and trainers share. */

import { call, isStarted } from './client.ts';
import type { MemoryUse } from './types.ts';

/** Memory in use by all models and trainers. */
export async function memory(): Promise<MemoryUse> {
  if (!isStarted()) return { device: 0, heap: 0, open: 0 };
  return call({}, (engine) => engine.memory());
}

/** Destroys the graphics device as a driver's reset would, to try out what your page does then: open
 * models and trainers reject with {@link DeviceLost}, the next one that is opened gets a new device. */
export async function loseDevice(): Promise<void> {
  if (isStarted()) await call({}, (engine) => engine.loseDevice());
}
