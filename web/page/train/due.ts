/** At most this share of the time goes to what is done beside. */
const SHARE = 1 / 8;

/** Something that is done now and then, and less often where it takes long. */
export class Due {
  readonly #interval: number;
  #next = 0;

  /** `interval` in milliseconds. */
  constructor(interval: number) {
    this.#interval = interval;
  }

  get passed(): boolean {
    return performance.now() >= this.#next;
  }

  /** Makes it due after the interval. */
  restart(): void {
    this.#next = performance.now() + this.#interval;
  }

  /** Makes it due at once. */
  force(): void {
    this.#next = 0;
  }

  /** Does it, if it is due. */
  async when(work: () => Promise<void>): Promise<void> {
    if (!this.passed) return;
    const begin = performance.now();
    await work();
    const end = performance.now();
    this.#next = end + Math.max(this.#interval, (end - begin) / SHARE);
  }
}
