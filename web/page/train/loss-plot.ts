import uPlot from 'uplot';
import { loss as asText, lossMark } from '../format.ts';

/** Weight of the past in the smoothed line. */
const SMOOTHING = 0.9;
/** Points kept; beyond that every other one is dropped. */
const MAX_POINTS = 4000;
const HEIGHT = 260;
/** Distances of the marks on the axis of steps. */
const WHOLE = [1, 2, 5]
  .flatMap((digit) => Array.from({ length: 7 }, (_, i) => digit * 10 ** i))
  .sort((a, b) => a - b);

/** Pixels of a letter of the axes, and those beside the letters. */
const LETTER = 7.3;
const BESIDE = 20;

/** Room for the longest mark. */
function widthOf(_: uPlot, marks: string[] | null): number {
  return Math.ceil(BESIDE + LETTER * Math.max(4, ...(marks ?? []).map(({ length }) => length)));
}

/** The loss of every step, and its running mean. */
export class LossPlot {
  readonly #box: HTMLElement;
  #plot: uPlot | undefined;
  steps: number[] = [];
  losses: number[] = [];

  constructor(box: HTMLElement) {
    this.#box = box;
    new ResizeObserver(() => this.#resize()).observe(box);
    matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => this.#rebuild());
  }

  /** Adds a step; it is seen with the next {@link draw}. After a lost device steps come again. */
  add(step: number, loss: number): void {
    while ((this.steps.at(-1) ?? 0) >= step) {
      this.steps.pop();
      this.losses.pop();
    }
    this.steps.push(step);
    this.losses.push(loss);
    if (this.steps.length <= MAX_POINTS) return;
    this.steps = this.steps.filter((_, i) => i % 2 === 0);
    this.losses = this.losses.filter((_, i) => i % 2 === 0);
  }

  replace(steps: number[], losses: number[]): void {
    this.steps = steps;
    this.losses = losses;
    this.draw();
  }

  draw(): void {
    if (!this.#plot || this.steps.length === 0) this.#rebuild();
    this.#plot?.setData(this.#data());
    const last = this.losses.at(-1);
    this.#box.setAttribute(
      'aria-label',
      last === undefined
        ? 'Loss by step, nothing yet'
        : `Loss by step: ${asText(this.losses[0] ?? 0)} at first, ${asText(last)} at step ${this.steps.at(-1)}`,
    );
  }

  #data(): uPlot.AlignedData {
    let mean = this.losses[0] ?? 0;
    let weight = 0;
    const smooth = this.losses.map((loss) => {
      weight = SMOOTHING * weight + (1 - SMOOTHING);
      mean += ((1 - SMOOTHING) / weight) * (loss - mean);
      return mean;
    });
    return [this.steps, this.losses, smooth];
  }

  #resize(): void {
    if (!this.#plot) this.#rebuild();
    this.#plot?.setSize({ width: this.#box.clientWidth, height: HEIGHT });
  }

  /** The plot takes its colours and fonts when it is made. */
  #rebuild(): void {
    this.#plot?.destroy();
    this.#plot = undefined;
    if (this.#box.clientWidth === 0 || this.steps.length === 0) return;
    const style = getComputedStyle(this.#box);
    const color = (name: string) => style.getPropertyValue(name).trim();
    const axis: uPlot.Axis = {
      stroke: color('--soft'),
      font: `12px ${color('--mono')}`,
      grid: { stroke: color('--line'), width: 1 },
      ticks: { stroke: color('--line'), width: 1, size: 4 },
    };
    this.#plot = new uPlot(
      {
        width: this.#box.clientWidth,
        height: HEIGHT,
        legend: { show: false },
        cursor: { show: false },
        scales: { x: { time: false } },
        axes: [
          { ...axis, incrs: WHOLE, space: 90 },
          { ...axis, values: (_, marks) => marks.map(lossMark), size: widthOf },
        ],
        series: [
          {},
          { label: 'loss', stroke: color('--faint'), width: 1, points: { show: false } },
          { label: 'smoothed', stroke: color('--ink'), width: 2, points: { show: false } },
        ],
      },
      this.#data(),
      this.#box,
    );
  }
}
