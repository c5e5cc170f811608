/** Decoded pictures. */

import { BadImage } from '../errors.ts';
import type { Picture } from '../protocol.ts';
import { putOnWhite } from '../white.ts';
import { dimensions, HEAD } from './dimensions.ts';
import { body, request } from './network.ts';

/** The canvas' longest sides and largest areas are of this order in all browsers. */
const MAX_SIDE = 16_384;
const MAX_PIXELS = 200e6;

/** Larger pictures are scaled down before their pixels are read; smaller ones are taken as they are. */
const EXACT_SIDE = 2048;

/** RGBA bytes of a picture, opaque. */
export interface Pixels {
  rgba: Uint8Array;
  width: number;
  height: number;
}

/** The pixels of a picture, upright, in sRGB and on white.
 *
 * @throws {NetworkError} if it cannot be fetched.
 * @throws {BadImage} if it cannot be decoded or is too large. */
export async function read({ pixels, name }: Picture, signal: AbortSignal): Promise<Pixels> {
  if (pixels instanceof ImageData) return pixelsOf(pixels);
  const held = typeof pixels === 'string' ? await fetched(pixels, signal) : pixels;
  const bitmap = held instanceof Blob ? await decode(held, name) : held;
  try {
    return draw(bitmap, name);
  } finally {
    bitmap.close();
  }
}

async function fetched(url: string, signal: AbortSignal): Promise<Blob> {
  const response = await request(url, 0, signal, 'default');
  const parts: BlobPart[] = [];
  for await (const chunk of body(response, signal)) parts.push(chunk as Uint8Array<ArrayBuffer>);
  return new Blob(parts);
}

async function decode(file: Blob, name: string): Promise<ImageBitmap> {
  if (file.size === 0) throw new BadImage(`${name} is empty; choose another file.`);
  const head = new Uint8Array(await file.slice(0, HEAD).arrayBuffer());
  const size = dimensions(head);
  if (size) requireSize(size, name);
  try {
    return await createImageBitmap(file, {
      premultiplyAlpha: 'none',
      colorSpaceConversion: 'default',
    });
  } catch (cause) {
    const what = size
      ? `${name}, a picture of ${size[0]} × ${size[1]} pixels, is damaged or too large for this browser; take a whole or smaller one`
      : `${name} is no picture that this browser reads; take a JPEG, PNG, WebP, GIF, BMP or AVIF file`;
    throw new BadImage(`${what}.`, { cause });
  }
}

function requireSize([width, height]: [number, number], name: string): void {
  if (Math.max(width, height) <= MAX_SIDE && width * height <= MAX_PIXELS) return;
  throw new BadImage(
    `${name} has ${width} × ${height} pixels; at most ${MAX_SIDE} a side and ${MAX_PIXELS / 1e6} million in all can be read. Scale it down first.`,
  );
}

function draw(bitmap: ImageBitmap, name: string): Pixels {
  requireSize([bitmap.width, bitmap.height], name);
  const scale = Math.min(1, EXACT_SIDE / Math.max(bitmap.width, bitmap.height));
  const width = Math.max(1, Math.round(bitmap.width * scale));
  const height = Math.max(1, Math.round(bitmap.height * scale));
  const context = new OffscreenCanvas(width, height).getContext('2d', { willReadFrequently: true });
  if (!context) throw new BadImage(`${name} finds no memory; close other tabs.`);
  context.imageSmoothingQuality = 'high';
  context.drawImage(bitmap, 0, 0, width, height);
  return pixelsOf(context.getImageData(0, 0, width, height));
}

function pixelsOf({ data, width, height }: ImageData): Pixels {
  putOnWhite(data);
  return { rgba: new Uint8Array(data.buffer, data.byteOffset, data.byteLength), width, height };
}
