/** One file of the cache, open for reading and writing. */

import { digest } from '../hex.ts';
import type { CacheEntry } from '../protocol.ts';
import { entryName, erase, fileName, folder, lockName, readEntry } from '../store.ts';
import { BLOCK } from './blocks.ts';
import { withRoom } from './room.ts';

/** The part of `FileSystemSyncAccessHandle` in use; TypeScript knows it in workers only. */
interface SyncAccessHandle {
  read(bytes: Uint8Array, place: { at: number }): number;
  write(bytes: Uint8Array, place: { at: number }): number;
  truncate(size: number): void;
  getSize(): number;
  flush(): void;
  close(): void;
}

/** The bytes in the cache are not those that were downloaded. */
export class CorruptCache extends Error {}

/** The bytes kept for an address, and what is known of them. No other tab has the file meanwhile. */
export class CacheFile {
  /** What is known of the file; of an empty one only its address. */
  entry: CacheEntry;
  readonly #directory: FileSystemDirectoryHandle;
  readonly #name: string;
  readonly #handle: SyncAccessHandle;
  readonly #release: () => void;

  private constructor(
    directory: FileSystemDirectoryHandle,
    name: string,
    handle: SyncAccessHandle,
    release: () => void,
    entry: CacheEntry,
  ) {
    this.#directory = directory;
    this.#name = name;
    this.#handle = handle;
    this.#release = release;
    this.entry = entry;
  }

  /** Opens the file for `url`, once no one else has it; nothing where the browser keeps no files. */
  static async open(url: string, signal: AbortSignal): Promise<CacheFile | undefined> {
    const directory = await folder(true);
    if (!directory) return undefined;
    const name = await fileName(url);
    const release = await hold(lockName(name), signal);
    let handle: SyncAccessHandle | undefined;
    await withRoom(async () => {
      try {
        handle = await access(directory, name);
        return true;
      } catch (error) {
        return !isQuota(error);
      }
    });
    if (!handle) {
      release();
      return undefined;
    }
    const entry = await readEntry(directory, name);
    if (!entry) handle.truncate(0);
    return new CacheFile(directory, name, handle, release, entry ?? blank(url));
  }

  /** Bytes kept. */
  get size(): number {
    return this.#handle.getSize();
  }

  /** The bytes that are there now, block by block.
   *
   * @throws {CorruptCache} if a block is not what it was when it was complete. */
  async *chunks(): AsyncGenerator<Uint8Array> {
    const { size } = this;
    const { blocks } = this.entry;
    for (let at = 0; at < size; at += BLOCK) {
      const bytes = new Uint8Array(Math.min(BLOCK, size - at));
      this.#handle.read(bytes, { at });
      if (blocks && (await digest(bytes)) !== blocks[at / BLOCK]) throw new CorruptCache();
      yield bytes;
    }
  }

  /** Adds bytes at the end; returns whether there was room. */
  append(bytes: Uint8Array): boolean {
    const { size } = this;
    // Where there is none, Chromium returns numbers that make no sense.
    if (attempt(() => this.#handle.write(bytes, { at: size }) === bytes.length)) return true;
    this.#handle.truncate(size);
    return false;
  }

  /** Forgets all bytes and begins again. */
  async reset(): Promise<void> {
    this.#handle.truncate(0);
    this.entry = blank(this.entry.url);
    await this.describe({});
  }

  /** Changes what is known, also on disk; returns whether there was room for that. */
  async describe(changes: Partial<CacheEntry>): Promise<boolean> {
    this.entry = { ...this.entry, ...changes, lastUsed: Date.now() };
    const text = new TextEncoder().encode(JSON.stringify(this.entry));
    let written = false;
    await withRoom(async () => {
      try {
        const handle = await access(this.#directory, entryName(this.#name));
        handle.truncate(0);
        written = attempt(() => handle.write(text, { at: 0 }) === text.length);
        handle.close();
        return written;
      } catch (error) {
        return !isQuota(error);
      }
    });
    return written;
  }

  /** Closes the file; `remove` takes it out of the cache. */
  async close(remove: boolean): Promise<void> {
    try {
      if (!remove) this.#handle.flush();
      this.#handle.close();
      if (!remove) return;
      await erase(this.#directory, entryName(this.#name));
      await erase(this.#directory, this.#name);
    } finally {
      this.#release();
    }
  }
}

function blank(url: string): CacheEntry {
  return { url, bytes: 0, complete: false, lastUsed: Date.now() };
}

async function access(
  directory: FileSystemDirectoryHandle,
  name: string,
): Promise<SyncAccessHandle> {
  const file = (await directory.getFileHandle(name, { create: true })) as FileSystemFileHandle & {
    createSyncAccessHandle(): Promise<SyncAccessHandle>;
  };
  return file.createSyncAccessHandle();
}

/** What `write` returns, `false` where it finds no room. */
function attempt(write: () => boolean): boolean {
  try {
    return write();
  } catch (error) {
    if (isQuota(error)) return false;
    throw error;
  }
}

function isQuota(error: unknown): boolean {
  return error instanceof Error && error.name === 'QuotaExceededError';
}

/** Takes a lock; returns what gives it back. */
function hold(name: string, signal: AbortSignal): Promise<() => void> {
  return new Promise((resolve, reject) => {
    navigator.locks
      .request(name, { signal }, () => new Promise<void>((release) => resolve(release)))
      .catch(reject);
  });
}
