/** Runs one piece of work at a time; of the requests that come meanwhile, only the last one counts. */
export class Latest<T> {
  readonly #work: (request: T) => Promise<void>;
  #waiting: { request: T } | undefined;
  #running = false;

  constructor(work: (request: T) => Promise<void>) {
    this.#work = work;
  }

  /** Whether a request waits behind the one at work. */
  get waiting(): boolean {
    return this.#waiting !== undefined;
  }

  request(request: T): void {
    this.#waiting = { request };
    if (!this.#running) void this.#drain();
  }

  async #drain(): Promise<void> {
    this.#running = true;
    try {
      while (this.#waiting) {
        const { request } = this.#waiting;
        this.#waiting = undefined;
        await this.#work(request);
      }
    } finally {
      this.#running = false;
    }
  }
}
