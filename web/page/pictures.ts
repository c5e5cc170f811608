import { putOnWhite } from '../package/white.ts';
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
  /** A shipped photograph's id, or one of {@link isOwn}. */
  id: string;
  title: string;
  image: ImageBitmap;
  /** Whether parts of it were transparent, which stand on white now. */
  seeThrough?: boolean;
}

const OWN = 'own';

/** Whether an id is of a visitor's picture. */
export function isOwn(id: string): boolean {
  return id === OWN || id.startsWith(`${OWN}-`);
}

/** An id for a visitor's picture, which a link may have without having the picture. */
export function newOwnId(): string {
  return `${OWN}-${crypto.randomUUID().slice(0, 8)}`;
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
    const vector = file.type === 'image/svg+xml';
    if (!vector) {
      await decoded.decode().catch(() => {
        throw new PageError(
          `${name} is damaged: it ends early or cannot be decoded. Choose another copy of it.`,
        );
      });
    }
    const title = file instanceof File ? file.name : 'Your picture';
    return { id: newOwnId(), title, ...onWhite(decoded, width, height, side, vector) };
  } finally {
    URL.revokeObjectURL(url);
  }
}

/** Fetches a picture for a visitor who knows its address. */
export async function pictureFromAddress(address: string): Promise<Picture> {
  const refused = (why: string) =>
    new PageError(`${address} could not be fetched: ${why} Save the picture and choose the file.`);
  const response = await fetch(address).catch(() => {
    throw refused('there is no connection, or its site does not let other pages read it.');
  });
  if (!response.ok) throw refused(`the server answered ${response.status}.`);
  const { pathname } = new URL(address);
  const name = decodeURIComponent(pathname.slice(pathname.lastIndexOf('/') + 1)) || 'Your picture';
  const body = await response.blob();
  return pictureFromFile(new File([body], name, { type: body.type }));
}

/** The picture on a white ground, its longer side at most `side`, of a drawing exactly that. */
function onWhite(
  source: CanvasImageSource,
  width: number,
  height: number,
  side: number,
  vector: boolean,
): { image: ImageBitmap; seeThrough: boolean } {
  const fit = side / Math.max(width, height);
  const scale = vector ? fit : Math.min(1, fit);
  const [w, h] = [width, height].map((length) => Math.max(1, Math.round(length * scale))) as [
    number,
    number,
  ];
  const canvas = new OffscreenCanvas(w, h);
  const context = canvas.getContext('2d') as OffscreenCanvasRenderingContext2D;
  context.imageSmoothingQuality = 'high';
  context.drawImage(source, 0, 0, w, h);
  const drawn = context.getImageData(0, 0, w, h);
  const seeThrough = putOnWhite(drawn.data);
  if (seeThrough) context.putImageData(drawn, 0, 0);
  return { image: canvas.transferToImageBitmap(), seeThrough };
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
