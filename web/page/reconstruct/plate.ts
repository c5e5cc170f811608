import { heatColor } from './heat.ts';

/** Rows and columns of patches. */
export type Grid = readonly [number, number];

/** What a plate shows, from the ground up. */
export interface PlateContent {
  image: ImageData | ImageBitmap;
  grid: Grid;
  /** 1 where film covers a patch. */
  film?: ArrayLike<number>;
  /** Values in 0..1 by patch, drawn over the picture; NaN leaves a patch as it is. */
  heat?: ArrayLike<number>;
  /** A patch with a frame. */
  cursor?: number | undefined;
}

const HEAT_OPACITY = 0.75;

/** A square of the page that shows a picture as large as it fits, sharp on every screen. */
export class Plate {
  readonly canvas: HTMLCanvasElement;
  readonly #context: CanvasRenderingContext2D;
  readonly #source = new OffscreenCanvas(1, 1);
  #content: PlateContent | undefined;

  constructor(canvas: HTMLCanvasElement) {
    this.canvas = canvas;
    this.#context = canvas.getContext('2d') as CanvasRenderingContext2D;
    new ResizeObserver(() => this.#paint()).observe(canvas);
    matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => this.#paint());
  }

  show(content: PlateContent): void {
    this.#content = content;
    this.#paint();
  }

  clear(): void {
    this.#content = undefined;
    this.#context.clearRect(0, 0, this.canvas.width, this.canvas.height);
  }

  #paint(): void {
    const { width, height } = this.canvas.getBoundingClientRect();
    if (!this.#content || width === 0) return;
    this.canvas.width = Math.round(width * devicePixelRatio);
    this.canvas.height = Math.round(height * devicePixelRatio);
    draw(this.#context, this.#content, this.canvas.width, this.canvas.height, this.#source);
  }
}

/** Draws a plate's content to fill `width` × `height`. */
export function draw(
  context: CanvasRenderingContext2D | OffscreenCanvasRenderingContext2D,
  { image, grid, film, heat, cursor }: PlateContent,
  width: number,
  height: number,
  source = new OffscreenCanvas(1, 1),
): void {
  const [rows, columns] = grid;
  const style = getComputedStyle(document.documentElement);
  const color = (name: string) => style.getPropertyValue(name).trim();
  const x = (column: number) => Math.round((column * width) / columns);
  const y = (row: number) => Math.round((row * height) / rows);
  const fill = (patch: number) => {
    const [row, column] = [Math.floor(patch / columns), patch % columns];
    context.fillRect(x(column), y(row), x(column + 1) - x(column), y(row + 1) - y(row));
  };

  context.save();
  context.clearRect(0, 0, width, height);
  if (film) {
    // Enlarged edges of visible patches are half transparent: what shines through is film.
    context.fillStyle = color('--film');
    context.fillRect(0, 0, width, height);
  }
  context.imageSmoothingEnabled = true;
  context.imageSmoothingQuality = 'high';
  context.drawImage(asCanvas(image, source), 0, 0, width, height);

  if (film) {
    context.fillStyle = color('--film');
    for (let patch = 0; patch < film.length; patch++) if (film[patch]) fill(patch);
    context.fillStyle = color('--seam');
    const seam = Math.max(1, Math.round(width / 500));
    for (let column = 1; column < columns; column++) context.fillRect(x(column), 0, seam, height);
    for (let row = 1; row < rows; row++) context.fillRect(0, y(row), width, seam);
  }
  if (heat) {
    context.globalAlpha = HEAT_OPACITY;
    for (let patch = 0; patch < heat.length; patch++) {
      const value = heat[patch] ?? Number.NaN;
      if (Number.isNaN(value)) continue;
      context.fillStyle = heatColor(value);
      fill(patch);
    }
    context.globalAlpha = 1;
  }
  if (cursor !== undefined) {
    const [row, column] = [Math.floor(cursor / columns), cursor % columns];
    const line = Math.max(2, Math.round(width / 160));
    for (const [name, inset] of [
      ['--ink', 0.5],
      ['--paper', 1.5],
    ] as const) {
      context.strokeStyle = color(name);
      context.lineWidth = line;
      context.strokeRect(
        x(column) + line * inset,
        y(row) + line * inset,
        x(column + 1) - x(column) - 2 * line * inset,
        y(row + 1) - y(row) - 2 * line * inset,
      );
    }
  }
  context.restore();
}

/** The picture without its hidden patches: transparent, so that enlarging does not smear them. */
export function withoutHidden(
  original: ImageData,
  mask: ArrayLike<number>,
  [rows, columns]: Grid,
): ImageData {
  const { width, height } = original;
  const visible = new ImageData(new Uint8ClampedArray(original.data), width, height);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const patch = Math.floor((y * rows) / height) * columns + Math.floor((x * columns) / width);
      if (mask[patch]) visible.data.fill(0, (y * width + x) * 4, (y * width + x) * 4 + 4);
    }
  }
  return visible;
}

function asCanvas(image: ImageData | ImageBitmap, canvas: OffscreenCanvas): CanvasImageSource {
  if (image instanceof ImageBitmap) return image;
  canvas.width = image.width;
  canvas.height = image.height;
  (canvas.getContext('2d') as OffscreenCanvasRenderingContext2D).putImageData(image, 0, 0);
  return canvas;
}
