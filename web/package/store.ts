/** The folder of cached weights in the origin private file system: per address one file of bytes and one
 * of JSON. Page and worker both look into it; only the worker writes. */

import { digest } from './hex.ts';
import type { CacheEntry } from './protocol.ts';

const FOLDER = 'webmae-weights';
const JSON_SUFFIX = '.json';

/** The folder, made if `create`; nothing where the browser has no such storage. */
export async function folder(create: boolean): Promise<FileSystemDirectoryHandle | undefined> {
  try {
    const root = await navigator.storage.getDirectory();
    return await root.getDirectoryHandle(FOLDER, { create });
  } catch {
    return undefined;
  }
}

/** Name of the file for `url`: its SHA-256. */
export function fileName(url: string): Promise<string> {
  return digest(new TextEncoder().encode(url));
}

/** Name of the file that describes file `name`. */
export function entryName(name: string): string {
  return name + JSON_SUFFIX;
}

/** Name of the lock that is held while file `name` is in use, in any tab. */
export function lockName(name: string): string {
  return `webmae ${name}`;
}

/** What is known of file `name`; nothing if there is none, or what there is cannot be understood. */
export async function readEntry(
  directory: FileSystemDirectoryHandle,
  name: string,
): Promise<CacheEntry | undefined> {
  try {
    const handle = await directory.getFileHandle(entryName(name));
    const entry: unknown = JSON.parse(await (await handle.getFile()).text());
    return isEntry(entry) ? entry : undefined;
  } catch {
    return undefined;
  }
}

/** All entries, the latest used first. */
export async function list(): Promise<CacheEntry[]> {
  const directory = await folder(false);
  if (!directory) return [];
  const entries: CacheEntry[] = [];
  for await (const file of directory.keys()) {
    if (!file.endsWith(JSON_SUFFIX)) continue;
    const name = file.slice(0, -JSON_SUFFIX.length);
    const entry = await readEntry(directory, name);
    if (entry) entries.push({ ...entry, bytes: await size(directory, name) });
  }
  return entries.sort((a, b) => b.lastUsed - a.lastUsed);
}

/** Removes the file of `url`, unless it is in use; returns whether there was one to remove. */
export async function remove(url: string): Promise<boolean> {
  const directory = await folder(false);
  return directory ? removeFile(directory, await fileName(url)) : false;
}

/** Removes all files that are not in use. */
export async function clear(): Promise<void> {
  const directory = await folder(false);
  if (!directory) return;
  const names = new Set<string>();
  for await (const file of directory.keys()) names.add(file.replace(JSON_SUFFIX, ''));
  for (const name of names) await removeFile(directory, name);
}

function removeFile(directory: FileSystemDirectoryHandle, name: string): Promise<boolean> {
  return navigator.locks.request(lockName(name), { ifAvailable: true }, async (lock) => {
    if (!lock) return false;
    await erase(directory, entryName(name));
    return erase(directory, name);
  });
}

/** Removes one file; returns whether it was there. */
export async function erase(directory: FileSystemDirectoryHandle, file: string): Promise<boolean> {
  try {
    await directory.removeEntry(file);
    return true;
  } catch {
    return false;
  }
}

async function size(directory: FileSystemDirectoryHandle, name: string): Promise<number> {
  try {
    const handle = await directory.getFileHandle(name);
    return (await handle.getFile()).size;
  } catch {
    return 0;
  }
}

function isEntry(value: unknown): value is CacheEntry {
  return (
    typeof value === 'object' &&
    value !== null &&
    'url' in value &&
    typeof value.url === 'string' &&
    'complete' in value &&
    typeof value.complete === 'boolean' &&
    'lastUsed' in value &&
    typeof value.lastUsed === 'number'
  );
}
