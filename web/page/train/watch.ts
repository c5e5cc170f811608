import type { Trainer } from 'webmae';
import { byId, element } from '../dom.ts';
import { centreCrop, type Picture } from '../pictures.ts';
import { Plate } from '../reconstruct/plate.ts';

/** How many pictures are watched. */
export const WATCHED = 4;

const PREVIEW: [number, number] = [96, 96];

interface Row {
  picture: Picture;
  original: Plate;
  masked: Plate;
  reconstruction: Plate;
}

/** The same pictures under the same masks, reconstructed as training goes on. */
export class Watch {
  readonly #box = byId('watch');
  #rows: Row[] = [];

  constructor() {
    const blank = Array.from({ length: WATCHED }, () =>
      row(element('canvas'), element('canvas'), element('canvas')),
    );
    this.#box.replaceChildren(...blank);
  }

  /** Shows the pictures alone, until there is a trainer to ask. */
  show(pictures: Picture[]): void {
    this.#rows = pictures.map((picture) => ({
      picture,
      original: plate(`${picture.title}, original`),
      masked: plate(`${picture.title}, masked`),
      reconstruction: plate(`${picture.title}, reconstruction`),
    }));
    this.#box.replaceChildren(
      ...this.#rows.map(({ original, masked, reconstruction }) =>
        row(original.canvas, masked.canvas, reconstruction.canvas),
      ),
    );
    for (const { picture, original } of this.#rows) {
      original.show({ image: centreCrop(picture.image, PREVIEW), grid: [1, 1] });
    }
  }

  /** Asks the trainer for all of them. */
  async update(trainer: Trainer): Promise<void> {
    for (const [i, row] of this.#rows.entries()) {
      const { grid, original, masked, mask, reconstruction } = await trainer.reconstruct(
        row.picture.image,
        {
          seed: i + 1,
        },
      );
      row.original.show({ image: original, grid });
      row.masked.show({ image: masked, grid, film: mask });
      row.reconstruction.show({ image: reconstruction, grid });
    }
  }
}

function row(...canvases: HTMLCanvasElement[]): HTMLElement {
  return element('div', { className: 'watch-row' }, ...canvases);
}

function plate(label: string): Plate {
  const canvas = element('canvas');
  canvas.setAttribute('role', 'img');
  canvas.setAttribute('aria-label', label);
  return new Plate(canvas);
}
