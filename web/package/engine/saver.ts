import type { Trainer } from './modules.ts';
import { checkpointFile } from './trained-file.ts';

/** Milliseconds between two saves. */
const PERIOD = 30_000;

/** Of larger models a checkpoint would burden the memory: some hundred megabytes, three times over. */
const MAX_PARAMETERS = 20e6;

/** Saves a trainer by itself, so that little is lost with the device. */
export class Saver {
  readonly #wanted: boolean;
  #last = performance.now();

  constructor(parameters: number) {
    this.#wanted = parameters <= MAX_PARAMETERS;
  }

  /** A checkpoint, if the last one is old enough. */
  async saveIfDue(trainer: Trainer): Promise<Uint8Array | undefined> {
    return performance.now() - this.#last < PERIOD ? undefined : this.save(trainer);
  }

  /** A checkpoint, unless the model is too large; training does not stop for one that fails. */
  async save(trainer: Trainer): Promise<Uint8Array | undefined> {
    if (!this.#wanted) return undefined;
    try {
      return await checkpointFile(trainer);
    } catch {
      return undefined;
    } finally {
      this.#last = performance.now();
    }
  }
}
