import { memory, type StepMetrics, type Trainer } from 'webmae';
import { byId } from '../dom.ts';
import { bytes, clock, count, loss } from '../format.ts';
import { Due } from './due.ts';
import { LossPlot } from './loss-plot.ts';

const SHOW_MS = 120;

/** The course of a run, to be kept with it. */
export interface Course {
  /** Milliseconds of training. */
  spent: number;
  steps: number[];
  losses: number[];
}

/** The numbers of a run, and the plot of its loss. */
export class Meters {
  readonly #plot = new LossPlot(byId('loss-plot'));
  readonly #due = new Due(SHOW_MS);
  #last: StepMetrics | undefined;
  #spent = 0;

  get course(): Course {
    return { spent: this.#spent, steps: this.#plot.steps, losses: this.#plot.losses };
  }

  /** Takes up the course of another run; of a new one by default. */
  begin({ spent, steps, losses }: Course = { spent: 0, steps: [], losses: [] }): void {
    this.#spent = spent;
    this.#last = undefined;
    this.#plot.replace(steps, losses);
    for (const meter of byId('train').querySelectorAll('.meters dd')) meter.textContent = '–';
  }

  record(trainer: Trainer, metrics: StepMetrics): void {
    this.#spent += metrics.milliseconds;
    this.#last = metrics;
    this.#plot.add(metrics.step, metrics.loss);
    if (this.#due.passed) this.show(trainer);
  }

  show({ info }: Trainer): void {
    this.#due.restart();
    byId('meter-step').textContent = `${count(info.step)} of ${count(info.totalSteps)}`;
    byId('meter-time').textContent = clock(this.#spent);
    this.#plot.draw();
    if (!this.#last) return;
    byId('meter-loss').textContent = loss(this.#last.loss);
    byId('meter-speed').textContent = this.#last.imagesPerSecond.toPrecision(3);
    byId('meter-lr').textContent = this.#last.lr.toExponential(2);
  }

  async showMemory(): Promise<void> {
    const { device } = await memory();
    byId('meter-memory').textContent = bytes(device);
  }
}
