import { decodeMask } from '../mask-code.ts';
import type { Grid } from './plate.ts';

/** A reconstruction made beforehand. */
export interface Prepared {
  ratio: number;
  seed: number;
  grid: Grid;
  mask: Uint8Array;
  loss: number;
  original: ImageData;
  reconstruction: ImageData;
}

/** `prepared/index.json`, as made by `make-prepared.mjs`. */
interface Index {
  size: number;
  grid: [number, number];
  seed: number;
  pictures: Record<string, { ratio: number; mask: string; loss: number }[]>;
}

const base = new URL('prepared/', document.baseURI);
let index: Promise<Index> | undefined;

/** What was made of a shipped photograph, by rising mask ratio; nothing for other pictures. */
export async function prepared(picture: string): Promise<Prepared[]> {
  index ??= fetch(new URL('index.json', base)).then((response) => response.json());
  const { size, grid, seed, pictures } = await index;
  const made = pictures[picture];
  if (!made) return [];
  const strip = await fetch(new URL(`${picture}.webp`, base));
  const tiles = cut(await createImageBitmap(await strip.blob()), size);
  const [original, ...reconstructions] = tiles;
  return made.flatMap(({ ratio, mask, loss }, i) => {
    const reconstruction = reconstructions[i];
    const bits = decodeMask(mask, grid[0] * grid[1]);
    if (!original || !reconstruction || !bits) return [];
    return { ratio, seed, grid, mask: bits, loss, original, reconstruction };
  });
}

/** The one whose ratio is closest. */
export function nearest(made: Prepared[], ratio: number): Prepared | undefined {
  return [...made].sort((a, b) => Math.abs(a.ratio - ratio) - Math.abs(b.ratio - ratio))[0];
}

function cut(strip: ImageBitmap, size: number): ImageData[] {
  const canvas = new OffscreenCanvas(strip.width, size);
  const context = canvas.getContext('2d') as OffscreenCanvasRenderingContext2D;
  context.drawImage(strip, 0, 0);
  const tiles = Math.floor(strip.width / size);
  return Array.from({ length: tiles }, (_, i) => context.getImageData(i * size, 0, size, size));
}
