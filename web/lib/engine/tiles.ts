/** Tiles of matrix products that suit a GPU: measured once, before the first training on it, and kept in
 * the origin private file system. */

import type { Device } from '../../wasm/webmae.js';
import { digest } from '../hex.ts';

const FOLDER = 'webmae-tiles';

/** Gives a device the tiles that were measured on it before; returns whether there were any, or none
 * to choose. */
export async function applyKnown(device: Device): Promise<boolean> {
  const key = device.tilesKey;
  if (key === undefined) return true;
  const known = await read(key);
  return known !== undefined && device.setTiles(known);
}

/** Gives a device the tiles that suit it, and measures them if they are not known: a second or two. */
export async function choose(device: Device): Promise<void> {
  if (await applyKnown(device)) return;
  const tiles = await device.tune();
  if (device.tilesKey !== undefined) await write(device.tilesKey, tiles);
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
