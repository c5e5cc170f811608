import { folderOf, read, write } from '../device-files.ts';
import type { Picture } from '../pictures.ts';

const FOLDER = 'own-pictures';
const INDEX = 'index.json';
/** Pictures kept; the oldest goes. */
const MOST = 6;

/** What is known of a kept picture. */
interface Entry {
  id: string;
  title: string;
}

/** The visitor's own pictures, kept on the device for the next visit. Where the browser keeps no files, or has no room,
 * there are none. */
export class KeptPictures {
  /** The kept pictures, the latest first. */
  async list(): Promise<Picture[]> {
    const pictures = await Promise.all((await this.#entries()).map((entry) => this.#open(entry)));
    return pictures.filter((picture) => picture !== undefined);
  }

  /** Keeps a picture; returns whether it could. */
  async keep({ id, title, image }: Picture): Promise<boolean> {
    try {
      const canvas = new OffscreenCanvas(image.width, image.height);
      canvas.getContext('2d')?.drawImage(image, 0, 0);
      const folder = await folderOf(FOLDER);
      await write(folder, id, await canvas.convertToBlob({ type: 'image/png' }));
      const others = (await this.#entries()).filter((entry) => entry.id !== id);
      const kept = [{ id, title }, ...others];
      await write(folder, INDEX, JSON.stringify(kept.slice(0, MOST)));
      for (const old of kept.slice(MOST)) await folder.removeEntry(old.id);
      return true;
    } catch {
      return false;
    }
  }

  /** Removes all. */
  async forget(): Promise<void> {
    const root = await folderOf();
    await root.removeEntry(FOLDER, { recursive: true }).catch(() => undefined);
  }

  async #entries(): Promise<Entry[]> {
    try {
      const file = await read(folderOf(FOLDER), INDEX);
      return file ? (JSON.parse(await file.text()) as Entry[]) : [];
    } catch {
      return [];
    }
  }

  async #open({ id, title }: Entry): Promise<Picture | undefined> {
    try {
      const file = await read(folderOf(FOLDER), id);
      return file && { id, title, image: await createImageBitmap(file) };
    } catch {
      return undefined;
    }
  }
}
