/** Tiles of matrix products that suit a GPU: measured once, before the first training on it, and kept in
 * the origin private file system. */

import { digest } from '../hex.ts';
import type { Adapter } from './modules.ts';

const FOLDER = 'webmae-tiles';

/** Gives a device the tiles that were measured on it before; returns whether there were any. */
export async function applyKnown(device: Adapter): Promise<boolean> {
  const known = await read(device.tilesKey);
  return known !== undefined && device.setTiles(known);
}

/** Gives a device the tiles that suit it, and measures them if they are not known: a second or two. */
export async function chooseTiles(device: Adapter): Promise<void> {
  if (await applyKnown(device)) return;
  await write(device.tilesKey, await device.tune());
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
