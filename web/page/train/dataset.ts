import { PageError } from '../failure.ts';
import {
  newOwnId,
  type Picture,
  photograph,
  photographs,
  pictureFromFile,
  shrink,
} from '../pictures.ts';
import { drawnPicture } from './drawn.ts';

/** Drawn pictures beside the shipped photographs. */
const DRAWN = 64;
/** Each photograph counts as many times, so that it is half of what is learnt from. */
const REPEATS = 8;
/** Longer side of a kept picture. */
const KEPT_SIDE = 384;

/** Pictures to learn from: those that come with the page, or the visitor's. */
export type Source = 'samples' | 'own';

/** The visitor's pictures, as small compressed files. */
export class OwnPictures {
  #files: Blob[] = [];

  get count(): number {
    return this.#files.length;
  }

  get files(): readonly Blob[] {
    return this.#files;
  }

  /** Adds the files that are pictures and returns how many are not. */
  async add(files: Blob[], onProgress?: (done: number) => void): Promise<number> {
    let refused = 0;
    for (const [i, file] of files.entries()) {
      const picture = await pictureFromFile(file, KEPT_SIDE).catch(() => undefined);
      if (picture) await this.addBitmap(picture.image);
      else refused += 1;
      onProgress?.(i + 1);
    }
    if (refused === files.length && files.length > 0) {
      throw new PageError(
        'None of these files is a picture that this browser reads. Choose JPEG, PNG or WebP files.',
      );
    }
    return refused;
  }

  async addBitmap(bitmap: ImageBitmap): Promise<void> {
    const small = await shrink(bitmap, bitmap.width, bitmap.height, KEPT_SIDE);
    const canvas = new OffscreenCanvas(small.width, small.height);
    canvas.getContext('2d')?.drawImage(small, 0, 0);
    this.#files.push(await canvas.convertToBlob({ type: 'image/webp', quality: 0.9 }));
    small.close();
    bitmap.close();
  }

  replace(files: Blob[]): void {
    this.#files = files;
  }
}

/** The pictures, at a size that suits a model of `side` pixels. */
export async function* learningPictures(
  source: Source,
  own: OwnPictures,
  side: number,
): AsyncGenerator<ImageBitmap | ImageData> {
  const wanted = Math.min(3 * side, KEPT_SIDE);
  if (source === 'own') {
    if (own.count === 0)
      throw new PageError('There are no pictures of your own yet. Choose files or a folder first.');
    for (const file of own.files) {
      const bitmap = await createImageBitmap(file);
      yield await shrink(bitmap, bitmap.width, bitmap.height, wanted);
    }
    return;
  }
  for (const { id } of await photographs()) {
    const { image } = await photograph(id);
    const small = await shrink(image, image.width, image.height, wanted);
    for (let i = 0; i < REPEATS; i++) yield small;
  }
  for (let i = 0; i < DRAWN; i++) yield drawnPicture(i);
}

/** The pictures that are reconstructed again and again, to watch the training. */
export async function watchedPictures(
  source: Source,
  own: OwnPictures,
  count: number,
): Promise<Picture[]> {
  if (source === 'own' && own.count > 0) {
    return Promise.all(
      own.files.slice(0, count).map(async (file, i) => ({
        id: newOwnId(),
        title: `Your picture ${i + 1}`,
        image: await createImageBitmap(file),
      })),
    );
  }
  const shipped = (await photographs()).slice(0, count);
  return Promise.all(shipped.map(({ id }) => photograph(id)));
}
