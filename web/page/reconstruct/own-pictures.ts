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
export class OwnPictures {
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
      await write(id, await canvas.convertToBlob({ type: 'image/png' }));
      const others = (await this.#entries()).filter((entry) => entry.id !== id);
      const kept = [{ id, title }, ...others];
      await write(INDEX, JSON.stringify(kept.slice(0, MOST)));
      for (const old of kept.slice(MOST)) await (await folder()).removeEntry(old.id);
      return true;
    } catch {
      return false;
    }
  }

  /** Removes all. */
  async forget(): Promise<void> {
    const root = await navigator.storage.getDirectory();
    await root.removeEntry(FOLDER, { recursive: true }).catch(() => undefined);
  }

  async #entries(): Promise<Entry[]> {
    try {
      return JSON.parse(await (await read(INDEX)).text()) as Entry[];
    } catch {
      return [];
    }
  }

  async #open({ id, title }: Entry): Promise<Picture | undefined> {
    try {
      return { id, title, image: await createImageBitmap(await read(id)) };
    } catch {
      return undefined;
    }
  }
}

async function folder(): Promise<FileSystemDirectoryHandle> {
  const root = await navigator.storage.getDirectory();
  return root.getDirectoryHandle(FOLDER, { create: true });
}

async function read(name: string): Promise<File> {
  return (await (await folder()).getFileHandle(name)).getFile();
}

async function write(name: string, data: FileSystemWriteChunkType): Promise<void> {
  const stream = await (
    await (await folder()).getFileHandle(name, { create: true })
  ).createWritable();
  await stream.write(data);
  await stream.close();
}
