/** Runs tasks one after the other, in the order in which they came. Objects of WebAssembly must not be
 * entered twice, and the device has one queue anyway. */
export class Queue {
  #last: Promise<unknown> = Promise.resolve();

  /** Runs `task` after all that came before; not at all if `signal` was aborted meanwhile. */
  run<T>(signal: AbortSignal, task: () => T | Promise<T>): Promise<T> {
    const result = this.#last.then(() => {
      signal.throwIfAborted();
      return task();
    });
    this.#last = result.catch(() => {});
    return result;
  }
}
