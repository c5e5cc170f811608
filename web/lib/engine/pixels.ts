/** Decoded pictures. */

import { BadImage } from '../errors.ts';
import type { Picture } from '../protocol.ts';

/** The canvas' longest sides and largest areas are of this order in all browsers. */
const MAX_SIDE = 16_384;
const MAX_PIXELS = 200e6;

/** Larger pictures are scaled down before their pixels are read; smaller ones are taken as they are. */
const EXACT_SIDE = 2048;

/** RGBA bytes of a picture. */
export interface Pixels {
  rgba: Uint8Array;
  width: number;
  height: number;
}

/** The pixels of a picture, upright and in sRGB.
 *
 * @throws {BadImage} if it cannot be decoded or is too large. */
export async function read({ pixels, name }: Picture): Promise<Pixels> {
  if (pixels instanceof ImageData) return pixelsOf(pixels);
  if (pixels instanceof Blob) {
    const bitmap = await decode(pixels, name);
    try {
      return draw(bitmap, name);
    } finally {
      bitmap.close();
    }
  }
  return draw(pixels, name);
}

async function decode(file: Blob, name: string): Promise<ImageBitmap> {
  if (file.size === 0) throw new BadImage(`${name} is empty; choose another file.`);
  try {
    return await createImageBitmap(file, {
      premultiplyAlpha: 'none',
      colorSpaceConversion: 'default',
    });
  } catch (cause) {
    throw new BadImage(
      `${name} cannot be decoded as a picture; take a whole JPEG, PNG, WebP, GIF, BMP or AVIF file of at most ${MAX_SIDE} pixels a side.`,
      { cause },
    );
  }
}

function draw(bitmap: ImageBitmap, name: string): Pixels {
  const { width, height } = bitmap;
  if (Math.max(width, height) > MAX_SIDE || width * height > MAX_PIXELS) {
    throw new BadImage(
      `${name} has ${width} × ${height} pixels; at most ${MAX_SIDE} a side and ${MAX_PIXELS / 1e6} million in all can be read. Scale it down first.`,
    );
  }
  const scale = Math.min(1, EXACT_SIDE / Math.max(width, height));
  const size = [width, height].map((side) => Math.max(1, Math.round(side * scale)));
  const canvas = new OffscreenCanvas(size[0] ?? 1, size[1] ?? 1);
  const context = canvas.getContext('2d', { willReadFrequently: true });
  if (!context) throw new BadImage(`There is no memory for ${name}; close other tabs.`);
  context.imageSmoothingQuality = 'high';
  context.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  return pixelsOf(context.getImageData(0, 0, canvas.width, canvas.height));
}

function pixelsOf({ data, width, height }: ImageData): Pixels {
  return { rgba: new Uint8Array(data.buffer, data.byteOffset, data.byteLength), width, height };
}
