import type { FromRun, ToRun } from '../protocol.ts';
import type { StepMetrics } from '../types.ts';

/** Steps that may be done before the page has taken note. */
const LOOK_AHEAD = 2;

/** The worker's end of a run: how far it may go. */
export class Run {
  readonly #port: MessagePort;
  #ahead = 0;
  #stopped = false;
  #wake: () => void = () => {};

  constructor(port: MessagePort) {
    this.#port = port;
    port.onmessage = ({ data }: MessageEvent<ToRun>) => {
      if (data === 'stop') this.#stopped = true;
      else this.#ahead -= 1;
      this.#wake();
    };
  }

  /** Waits until the next step is wanted; false if the page wants no more. */
  async wanted(): Promise<boolean> {
    while (!this.#stopped && this.#ahead >= LOOK_AHEAD) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    return !this.#stopped;
  }

  /** Hands over a step. */
  send(metrics: StepMetrics): void {
    this.#ahead += 1;
    this.#port.postMessage(metrics satisfies FromRun);
  }

  /** Says that nothing more will come. */
  end(): void {
    this.#port.postMessage('end' satisfies FromRun);
  }
}
