import { PageError } from './failure.ts';
import { count } from './format.ts';

/** A shipped photograph and whose it is. */
export interface Credit {
  id: string;
  file: string;
  title: string;
  author: string;
  licence: string;
  source: string;
  url: string;
}

/** A picture to work on. */
export interface Picture {
  /** A shipped photograph's id, or `own`. */
  id: string;
  title: string;
  image: ImageBitmap;
}

/** Beyond this, browsers run out of memory while decoding. */
const MAX_PIXELS = 100e6;
/** Kept of a picture: far more than models see, far less than cameras make. */
const KEPT_SIDE = 1024;

const base = new URL('photographs/', document.baseURI);
let credits: Promise<Credit[]> | undefined;

/** The shipped photographs. */
export function photographs(): Promise<Credit[]> {
  credits ??= fetchPart('credits.json').then((response) => response.json());
  return credits;
}

/** Address of a shipped photograph's small square. */
export function thumbnail(credit: Credit): string {
  return new URL(`thumbs/${credit.file}`, base).href;
}

/** A shipped photograph; the first one where there is none of that id. */
export async function photograph(id: string | undefined): Promise<Picture> {
  const all = await photographs();
  const credit = all.find((one) => one.id === id) ?? all[0];
  if (!credit) throw new PageError('The list of photographs is empty. Reload the page.');
  const response = await fetchPart(credit.file);
  const image = await createImageBitmap(await response.blob());
  return { id: credit.id, title: credit.title, image };
}

/** Decodes a visitor's file. */
export async function pictureFromFile(file: Blob, side = KEPT_SIDE): Promise<Picture> {
  const name = file instanceof File ? `“${file.name}”` : 'The picture';
  if (file.size === 0) throw new PageError(`${name} is empty. Choose another picture.`);
  const url = URL.createObjectURL(file);
  try {
    const decoded = await load(url).catch(() => {
      throw new PageError(
        `${name} is not a picture that this browser reads. Choose a JPEG, PNG, WebP, GIF or AVIF file.`,
      );
    });
    const { naturalWidth: width, naturalHeight: height } = decoded;
    if (width * height > MAX_PIXELS) {
      throw new PageError(
        `${name} has ${count(width)} × ${count(height)} pixels, more than the ${MAX_PIXELS / 1e6} million that fit in memory here. Make it smaller and choose it again.`,
      );
    }
    const image = await shrink(decoded, width, height, side);
    return { id: 'own', title: file instanceof File ? file.name : 'Your picture', image };
  } finally {
    URL.revokeObjectURL(url);
  }
}

/** A bitmap whose longer side is at most `side`. */
export function shrink(
  source: ImageBitmapSource,
  width: number,
  height: number,
  side: number,
): Promise<ImageBitmap> {
  const scale = Math.min(1, side / Math.max(width, height));
  return createImageBitmap(source, {
    resizeWidth: Math.max(1, Math.round(width * scale)),
    resizeHeight: Math.max(1, Math.round(height * scale)),
    resizeQuality: 'high',
  });
}

/** The centre of a picture at a model's size: what it would see. */
export function centreCrop(
  image: ImageBitmap,
  [height, width]: readonly [number, number],
): ImageData {
  const scale = Math.min(image.width / width, image.height / height);
  const [w, h] = [width * scale, height * scale];
  const canvas = new OffscreenCanvas(width, height);
  const context = canvas.getContext('2d') as OffscreenCanvasRenderingContext2D;
  context.imageSmoothingQuality = 'high';
  context.drawImage(
    image,
    (image.width - w) / 2,
    (image.height - h) / 2,
    w,
    h,
    0,
    0,
    width,
    height,
  );
  return context.getImageData(0, 0, width, height);
}

/** `load` says the size before anything is decoded; `decode` would need the memory first. */
function load(url: string): Promise<HTMLImageElement> {
  return new Promise((resolve, reject) => {
    const image = new Image();
    image.onload = () => (image.naturalWidth > 0 ? resolve(image) : reject(new Error()));
    image.onerror = () => reject(new Error());
    image.src = url;
  });
}

async function fetchPart(file: string): Promise<Response> {
  const response = await fetch(new URL(file, base));
  if (!response.ok) {
    throw new PageError(
      `The photograph's file could not be fetched (${response.status}). Reload the page.`,
    );
  }
  return response;
}
