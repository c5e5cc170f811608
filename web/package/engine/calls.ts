/** Calls under way, by their numbers. */

import type { CallId } from '../protocol.ts';

/** Gives each call a signal of its own. */
export class Calls {
  readonly #open = new Map<CallId, AbortController>();

  /** Does the work of a call, which {@link abort} cancels. */
  async track<T>(call: CallId, work: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const controller = new AbortController();
    this.#open.set(call, controller);
    try {
      return await work(controller.signal);
    } finally {
      this.#open.delete(call);
    }
  }

  /** Cancels a call, if it is still under way. */
  abort(call: CallId): void {
    this.#open.get(call)?.abort();
  }
}
