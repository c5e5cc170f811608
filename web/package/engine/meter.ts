import type { Progress } from '../types.ts';

/** Milliseconds between two reports. */
const PAUSE = 50;

/** Reports progress, not more often than anyone can see. */
export class Meter {
  /** What is being done. */
  stage: Progress['stage'] = 'weights';
  /** How much there is to do, if it is known. */
  total: number | undefined;
  readonly #report: (progress: Progress) => void;
  #last = Number.NEGATIVE_INFINITY;

  constructor(report: (progress: Progress) => void) {
    this.#report = report;
  }

  /** Says how many kernels are compiled, as WebAssembly wants to say it. */
  readonly kernels = (done: number, total: number): void => {
    this.stage = 'kernels';
    this.total = total;
    this.update(done);
  };

  /** Says how much is done. */
  update(done: number): void {
    const now = performance.now();
    if (now - this.#last < PAUSE && done !== this.total) return;
    this.#last = now;
    this.#report({
      stage: this.stage,
      done,
      ...(this.total !== undefined && { total: this.total }),
    });
  }
}
