import { byId } from '../dom.ts';

/** Anchors of cividis (Nuñez, Anderton, Renslow 2018), a scale of even lightness steps that reads the
 * same with and without colour-blindness. */
const ANCHORS: [number, number, number][] = [
  [0, 34, 78],
  [33, 61, 110],
  [78, 87, 108],
  [112, 113, 115],
  [148, 142, 119],
  [190, 173, 107],
  [229, 204, 82],
  [254, 232, 56],
];

/** The colour of a value in 0..1. */
export function heatColor(value: number): string {
  const place = Math.min(1, Math.max(0, value)) * (ANCHORS.length - 1);
  const index = Math.min(Math.floor(place), ANCHORS.length - 2);
  const [low, high] = [ANCHORS[index], ANCHORS[index + 1]];
  if (!low || !high) return 'transparent';
  const mixed = low.map(
    (channel, i) => channel + ((high[i] ?? channel) - channel) * (place - index),
  );
  return `rgb(${mixed.map(Math.round).join(' ')})`;
}

/** The scale beside what its upper end stands for. */
export class HeatLegend {
  readonly #box: HTMLElement;

  constructor(id: string) {
    this.#box = byId(id);
    const colors = ANCHORS.map((rgb) => `rgb(${rgb.join(' ')})`).join(', ');
    const bar = this.#box.querySelector('i') as HTMLElement;
    bar.style.background = `linear-gradient(to right, ${colors})`;
  }

  /** Shows what the upper end is; hides the legend where there is none. */
  show(top: string | undefined): void {
    this.#box.hidden = top === undefined;
    (this.#box.lastElementChild as HTMLElement).textContent = top ?? '';
  }
}
