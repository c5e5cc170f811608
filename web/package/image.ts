/** Pictures of every form that a browser has, made ready for the worker. */

import * as Comlink from 'comlink';
import { absolute, call, type Engine } from './client.ts';
import { BadImage, Internal } from './errors.ts';
import type { CallId, Picture } from './protocol.ts';
import type { CallOptions, ImageSource } from './types.ts';

/** A picture as it is posted, and what is transferred with it. */
interface PostedPicture {
  picture: Picture;
  transfer: Transferable[];
}

/** Pictures that run together: more would take memory and hardly save time. */
const TOGETHER = 16;

/** Calls the worker with a picture. The caller's object stays usable.
 *
 * @throws {BadImage} if there is nothing in it, or nothing yet, or its pixels are another site's. */
export async function callWithPicture<T>(
  image: ImageSource,
  options: CallOptions,
  work: (engine: Engine, id: CallId, picture: Picture) => Promise<T>,
): Promise<T> {
  return callTogether([image], options, (engine, id, [picture]) =>
    work(engine, id, picture as Picture),
  );
}

/** Calls the worker with one picture or many, some at a time, for a result each.
 *
 * @throws {BadImage} as {@link callWithPicture}. */
export async function callWithPictures<T>(
  images: ImageSource | readonly ImageSource[],
  options: CallOptions,
  work: (engine: Engine, id: CallId, pictures: Picture[]) => Promise<T[]>,
): Promise<T | T[]> {
  if (!Array.isArray(images)) {
    const [result] = await callTogether([images as ImageSource], options, work);
    return result as T;
  }
  const results: T[] = [];
  const total = images.length;
  for (let done = 0; done < total; done += TOGETHER) {
    const some = images.slice(done, done + TOGETHER) as ImageSource[];
    results.push(...(await callTogether(some, options, work)));
    options.onProgress?.({ stage: 'images', done: results.length, total });
  }
  return results;
}

async function callTogether<T>(
  images: ImageSource[],
  options: CallOptions,
  work: (engine: Engine, id: CallId, pictures: Picture[]) => Promise<T>,
): Promise<T> {
  const posted = await Promise.all(images.map(post));
  const pictures = posted.map(({ picture }) => picture);
  const transfer = posted.flatMap(({ transfer }) => transfer);
  try {
    return await call(options, (engine, id) =>
      work(engine, id, Comlink.transfer(pictures, transfer)),
    );
  } catch (error) {
    const cause = error instanceof Internal ? error.cause : undefined;
    if (!(cause instanceof DOMException) || cause.name !== 'DataCloneError') throw error;
    throw new BadImage(
      `${pictures.map(({ name }) => name).join(' or ')} comes from another site, which keeps its pixels from scripts. Load it with crossOrigin = 'anonymous' from a server that allows that (CORS), or as a file.`,
      { cause },
    );
  }
}

async function post(image: ImageSource): Promise<PostedPicture> {
  if (typeof image === 'string' || image instanceof URL) {
    const url = absolute(image);
    const name = /^https?:/.test(url) ? url : 'The picture';
    return { picture: { pixels: url, name }, transfer: [] };
  }
  if (image instanceof Blob) {
    const name = image instanceof File && image.name ? image.name : 'The picture';
    return { picture: { pixels: image, name }, transfer: [] };
  }
  if (image instanceof ImageData) {
    const plain = image.data instanceof Uint8ClampedArray && image.colorSpace === 'srgb';
    if (plain) return { picture: { pixels: image, name: 'The picture' }, transfer: [] };
    return snapshot(image, 'The picture');
  }
  if (image instanceof ImageBitmap) {
    if (image.width === 0) throw new BadImage('The ImageBitmap was closed; make a new one.');
    return { picture: { pixels: image, name: 'The picture' }, transfer: [] };
  }
  if (is(image, 'HTMLImageElement')) return element(image as HTMLImageElement);
  if (is(image, 'HTMLVideoElement')) {
    const video = image as HTMLVideoElement;
    if (video.readyState < HTMLMediaElement.HAVE_CURRENT_DATA) {
      throw new BadImage("The video has no frame yet; wait for its 'loadeddata' event.");
    }
    return snapshot(video, 'The video');
  }
  if (is(image, 'HTMLCanvasElement') || is(image, 'OffscreenCanvas')) {
    const canvas = image as HTMLCanvasElement | OffscreenCanvas;
    if (canvas.width * canvas.height === 0) {
      throw new BadImage(
        `The canvas has ${canvas.width} × ${canvas.height} pixels; give it a size.`,
      );
    }
    return snapshot(canvas, 'The canvas');
  }
  if (is(image, 'VideoFrame')) return snapshot(image as VideoFrame, 'The video frame');
  throw new BadImage(
    `${whatIs(image)} is no picture; pass an ImageBitmap, ImageData, <img>, <canvas>, <video>, VideoFrame, File or Blob, or an address.`,
  );
}

async function element(image: HTMLImageElement): Promise<PostedPicture> {
  const address = image.currentSrc || image.src;
  const name = /^https?:/.test(address) ? address : 'The picture';
  try {
    await image.decode();
  } catch (error) {
    throw new BadImage(`${name} did not load as a picture; check its address and format.`, {
      cause: error,
    });
  }
  return snapshot(image, name);
}

/** The pixels as they are now, oriented as shown. */
async function snapshot(source: ImageBitmapSource, name: string): Promise<PostedPicture> {
  try {
    const pixels = await createImageBitmap(source, { premultiplyAlpha: 'none' });
    return { picture: { pixels, name }, transfer: [pixels] };
  } catch (error) {
    throw new BadImage(`${name} has no pixels to read: ${message(error)}`, { cause: error });
  }
}

/** Whether `value` is an instance of the global class `name`, which not every browser has. */
function is(value: object, name: string): boolean {
  const Class: unknown = Reflect.get(globalThis, name);
  return typeof Class === 'function' && value instanceof Class;
}

function whatIs(value: unknown): string {
  if (value === null || typeof value !== 'object') return String(value);
  return `An object of ${value.constructor?.name ?? 'unknown class'}`;
}

/** What the browser says, without the name of the function. */
function message(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error);
  return text.replace(/^Failed to execute [^:]*: /, '');
}
