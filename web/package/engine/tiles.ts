/** Tiles of matrix products that suit a GPU: measured once, before the first training on it, and kept in
 * the origin private file system. */

import { digest } from '../hex.ts';
import type { Adapter } from './modules.ts';
import type { Queue } from './queue.ts';

const FOLDER = 'webmae-tiles';
const NEVER = new AbortController().signal;

/** Gives a device the tiles that were measured on it before; returns whether there were any. */
export async function applyKnown(device: Adapter): Promise<boolean> {
  const known = await read(device.tilesKey);
  return known !== undefined && device.setTiles(known);
}

/** Measures the tiles that suit a device for what was opened on it, where they are not known, and gives them to it.
 * Takes the turns of `queue` for that: what else is run comes between the measurements. */
export async function chooseTiles(device: Adapter, queue: Queue): Promise<void> {
  let end = () => {};
  const turn = () => {
    end();
    return new Promise<void>((begin) => {
      const measure = () =>
        new Promise<void>((resolve) => {
          end = resolve;
          begin();
        });
      queue.run(NEVER, measure);
    });
  };
  try {
    const tiles: string | undefined = await device.tune(turn);
    if (tiles) await write(device.tilesKey, tiles);
  } finally {
    end();
  }
}

async function folder(): Promise<FileSystemDirectoryHandle> {
  const root = await navigator.storage.getDirectory();
  return root.getDirectoryHandle(FOLDER, { create: true });
}

function fileName(key: string): Promise<string> {
  return digest(new TextEncoder().encode(key));
}

async function read(key: string): Promise<string | undefined> {
  try {
    const handle = await (await folder()).getFileHandle(await fileName(key));
    return await (await handle.getFile()).text();
  } catch {
    return undefined;
  }
}

/** Where the browser has no such storage, the next session measures again. */
async function write(key: string, tiles: string): Promise<void> {
  try {
    const handle = await (await folder()).getFileHandle(await fileName(key), { create: true });
    const file = await handle.createWritable();
    await file.write(tiles);
    await file.close();
  } catch {}
}
