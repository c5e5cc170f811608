import type { CallOptions, ReconstructOptions, Trainer } from 'webmae';
import { byId, element } from '../dom.ts';
import { centreCrop, type Picture } from '../pictures.ts';
import { Plate } from '../reconstruct/plate.ts';

/** How many pictures are watched. */
export const WATCHED = 4;

const PREVIEW: [number, number] = [96, 96];

/** One picture: original, masked, reconstruction. */
class Row {
  readonly element = element('div', { className: 'watch-row' });
  readonly #original = new Plate(element('canvas'));
  readonly #masked = new Plate(element('canvas'));
  readonly #reconstruction = new Plate(element('canvas'));
  #picture: Picture | undefined;

  constructor() {
    const plates = [this.#original, this.#masked, this.#reconstruction];
    for (const { canvas } of plates) canvas.setAttribute('role', 'img');
    this.element.append(...plates.map(({ canvas }) => canvas));
    this.show(undefined);
  }

  /** Shows the picture alone. */
  show(picture: Picture | undefined): void {
    this.#picture = picture;
    const name = picture?.title ?? 'No picture';
    this.#original.canvas.ariaLabel = `${name}, original`;
    this.#masked.canvas.ariaLabel = `${name}, masked`;
    this.#reconstruction.canvas.ariaLabel = `${name}, reconstruction`;
    this.#masked.clear();
    this.#reconstruction.clear();
    if (picture) this.#original.show({ image: centreCrop(picture.image, PREVIEW), grid: [1, 1] });
    else this.#original.clear();
  }

  async update(trainer: Trainer, options: ReconstructOptions): Promise<void> {
    if (!this.#picture) return;
    const made = await trainer.reconstruct(this.#picture.image, options);
    const { grid, original, masked, mask, reconstruction } = made;
    this.#original.show({ image: original, grid });
    this.#masked.show({ image: masked, grid, film: mask });
    this.#reconstruction.show({ image: reconstruction, grid });
  }
}

/** The same pictures under the same masks, reconstructed as training goes on. */
export class Watch {
  readonly #rows = Array.from({ length: WATCHED }, () => new Row());

  constructor() {
    byId('watch').replaceChildren(...this.#rows.map((row) => row.element));
  }

  /** Shows the pictures alone, until there is a trainer to ask. */
  show(pictures: Picture[]): void {
    this.#rows.forEach((row, i) => {
      row.show(pictures[i]);
    });
  }

  /** Asks the trainer for all of them. */
  async update(trainer: Trainer, onProgress?: CallOptions['onProgress']): Promise<void> {
    for (const [i, row] of this.#rows.entries())
      await row.update(trainer, { seed: i + 1, ...(onProgress && { onProgress }) });
  }
}
