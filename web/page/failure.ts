/** A mistake that the page itself found: its message is a sentence for the visitor. */
export class PageError extends Error {
  override name = 'PageError';
}

/** Asks before something is given up; a no cancels the work at hand. */
export function sure(question: string): void {
  if (!confirm(question)) throw new DOMException('', 'AbortError');
}

/** Whether it is only the visitor's own cancelling. */
export function isCancelled(error: unknown): boolean {
  return error instanceof DOMException && error.name === 'AbortError';
}

/** Whether the graphics device went away under a call. */
export function isDeviceLost(error: unknown): boolean {
  return error instanceof Error && error.name === 'DeviceLost';
}

/** A line of the page that says what went wrong and what to do; hidden while nothing did. */
export class FailureLine {
  readonly #line: HTMLElement;
  readonly #worded: (error: unknown) => unknown;

  /** `worded` puts errors into the words of its part of the page. */
  constructor(line: HTMLElement, worded: (error: unknown) => unknown = (error) => error) {
    this.#line = line;
    this.#worded = worded;
  }

  show(error: unknown): void {
    if (isCancelled(error)) return;
    const worded = this.#worded(error);
    this.#line.textContent = worded instanceof Error ? worded.message : String(worded);
    this.#line.hidden = false;
  }

  clear(): void {
    this.#line.hidden = true;
    this.#line.textContent = '';
  }

  /** Runs `work`, shows what it throws, and says whether it went well. */
  async guard(work: () => Promise<void>): Promise<boolean> {
    this.clear();
    try {
      await work();
      return true;
    } catch (error) {
      this.show(error);
      return false;
    }
  }
}
