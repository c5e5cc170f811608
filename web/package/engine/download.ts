/** The download of one file, through the cache. */

import { BadWeights, QuotaExceeded } from '../errors.ts';
import type { CacheEntry } from '../protocol.ts';
import { Blocks } from './blocks.ts';
import { CacheFile, CorruptCache } from './cache-file.ts';
import { toHex } from './integrity.ts';
import { body, length, request } from './network.ts';
import { makeRoom, withRoom } from './room.ts';

/** How a file is fetched. */
export interface DownloadOptions {
  /** `false`: neither look into the cache nor keep the file; `true`: fail if it cannot be kept. */
  cache?: boolean;
  /** The SHA-256 that it must have. */
  integrity?: string;
}

/** A file, partly or wholly from the cache, the rest from the network. */
export class Download {
  readonly #options: DownloadOptions;
  readonly #signal: AbortSignal;
  /** Where the file is kept. */
  readonly #file: CacheFile | undefined;
  /** Bytes in the cache at the beginning. */
  readonly #kept: number;
  /** What brings the rest; nothing if all of it is there. */
  readonly #response: Response | undefined;
  readonly #blocks = new Blocks();
  #keeping: boolean;
  #remove = false;

  private constructor(
    options: DownloadOptions,
    signal: AbortSignal,
    file: CacheFile | undefined,
    response: Response | undefined,
    keeping: boolean,
  ) {
    this.#options = options;
    this.#signal = signal;
    this.#file = file;
    this.#kept = file?.size ?? 0;
    this.#response = response;
    this.#keeping = keeping;
  }

  /** Looks what is there and asks for the rest.
   *
   * @throws {NetworkError} if the server does not give it.
   * @throws {QuotaExceeded} if it cannot be kept and `cache` is `true`.
   * @throws {InvalidOption} if `integrity` is no SHA-256. */
  static async start(
    url: string,
    options: DownloadOptions,
    signal: AbortSignal,
  ): Promise<Download> {
    if (options.integrity !== undefined) toHex(options.integrity);
    const cachable = options.cache !== false && /^https?:/.test(url);
    const file = cachable ? await CacheFile.open(url, signal) : undefined;
    if (!file) {
      if (options.cache) throw cannotKeep(url, 'this browser keeps no files for this page');
      return new Download(
        options,
        signal,
        undefined,
        await request(url, 0, signal, 'default'),
        false,
      );
    }
    try {
      return await Download.#through(file, options, signal);
    } catch (error) {
      await file.close(file.size === 0);
      throw error;
    }
  }

  static async #through(
    file: CacheFile,
    options: DownloadOptions,
    signal: AbortSignal,
  ): Promise<Download> {
    const { url } = file.entry;
    if (isWhole(file) && (await isCurrent(file.entry, options, signal))) {
      return new Download(options, signal, file, undefined, true);
    }
    const response = await rest(file, signal);
    const bytes = length(response);
    const version = versionOf(response, file.size, bytes);
    const missing = await makeRoom(bytes ?? 0);
    const room = missing === 0 && (await file.describe(version));
    if (!room && options.cache) {
      await response.body?.cancel();
      const amount = missing > 0 ? ` for it: ${(missing / 1e6).toFixed(1)} MB are missing` : '';
      throw cannotKeep(url, `there is no room${amount}`);
    }
    return new Download(options, signal, file, response, room);
  }

  /** Whether some of it still comes from the network. */
  get fromNetwork(): boolean {
    return this.#response !== undefined;
  }

  /** Whether all of it is in the cache, where each block is checked as it is read. */
  get isChecked(): boolean {
    return !this.fromNetwork && this.#file?.entry.blocks !== undefined;
  }

  /** Whether the SHA-256 of all bytes is wanted. */
  get isHashed(): boolean {
    const wanted = this.#file !== undefined || this.#options.integrity !== undefined;
    return wanted && !this.isChecked;
  }

  /** Bytes in all, where the server told. */
  get size(): number | undefined {
    const bytes = this.#response ? length(this.#response) : 0;
    return bytes === undefined ? undefined : this.#kept + bytes;
  }

  /** The `config.json` that was kept with the file. */
  get hfConfig(): string | undefined {
    return this.#file?.entry.hfConfig;
  }

  /** All bytes in their order.
   *
   * @throws {CorruptCache} if those in the cache are damaged. */
  async *chunks(): AsyncGenerator<Uint8Array> {
    if (this.#file) {
      for await (const chunk of this.#file.chunks()) {
        if (!this.isChecked) await this.#blocks.add(chunk);
        yield chunk;
      }
    }
    if (!this.#response) return;
    for await (const chunk of body(this.#response, this.#signal)) {
      await this.#keep(chunk);
      yield chunk;
    }
  }

  /** Ends a download that was good so far; `sha256` is that of all bytes, if it was wanted.
   *
   * @throws {CorruptCache} if cached bytes are not the right ones.
   * @throws {BadWeights} if the server's are not those that were expected. */
  async finish(sha256: string | undefined, hfConfig: string | undefined): Promise<void> {
    const { integrity } = this.#options;
    if (sha256 !== undefined && integrity !== undefined && sha256 !== toHex(integrity)) {
      if (this.#kept > 0) throw new CorruptCache();
      throw new BadWeights(
        `${this.#response?.url} is not the file that was expected: its SHA-256 is ${sha256}, not ${integrity}.`,
      );
    }
    if (!this.#file || !this.#keeping) return;
    await this.#file.describe({
      bytes: this.#file.size,
      complete: true,
      ...(sha256 !== undefined && { sha256, blocks: await this.#blocks.finish() }),
      ...(hfConfig !== undefined && { hfConfig }),
    });
  }

  /** Takes the file out of the cache when it is closed. */
  discard(): void {
    this.#remove = true;
  }

  /** Ends the download. What came so far is kept. */
  async close(): Promise<void> {
    await this.#file?.close(this.#remove || this.#file.size === 0);
  }

  async #keep(chunk: Uint8Array): Promise<void> {
    const file = this.#file;
    if (!file || !this.#keeping) return;
    await this.#blocks.add(chunk);
    this.#keeping = await withRoom(() => file.append(chunk));
    if (!this.#keeping && this.#options.cache) throw cannotKeep(file.entry.url, 'there is no room');
  }
}

/** Asks for what is not in `file`, which is emptied if that does not belong to the server's file. */
async function rest(file: CacheFile, signal: AbortSignal): Promise<Response> {
  const { url } = file.entry;
  if (!isWhole(file) && file.size > 0) {
    const response = await request(url, file.size, signal, 'no-store');
    // `If-Range` would do this on the server, but asks other sites for a permission that few give.
    if (response.status === 206 && compare(file.entry, response) === 'same') return response;
    await file.reset();
    if (response.status === 200) return response;
    await response.body?.cancel();
  }
  await file.reset();
  return request(url, 0, signal, 'no-store');
}

/** Whether all bytes are there; also when there was no time left to say so. */
function isWhole({ entry, size }: CacheFile): boolean {
  return size > 0 && size === (entry.complete ? entry.bytes : entry.size);
}

/** Whether the server's file is still the one in the cache; without an answer it is. */
async function isCurrent(
  entry: CacheEntry,
  { integrity }: DownloadOptions,
  signal: AbortSignal,
): Promise<boolean> {
  if (integrity !== undefined && entry.sha256 !== undefined)
    return entry.sha256 === toHex(integrity);
  try {
    const response = await fetch(entry.url, { method: 'HEAD', cache: 'no-store', signal });
    return !response.ok || compare(entry, response) !== 'other';
  } catch {
    signal.throwIfAborted();
    return true;
  }
}

function compare(entry: CacheEntry, { headers }: Response): 'same' | 'other' | 'unknown' {
  const strong = (etag: string) => etag.replace(/^W\//, '');
  const etag = headers.get('etag');
  if (etag && entry.etag) return strong(etag) === strong(entry.etag) ? 'same' : 'other';
  const modified = headers.get('last-modified');
  if (modified && entry.lastModified) return modified === entry.lastModified ? 'same' : 'other';
  return 'unknown';
}

function versionOf(
  { headers }: Response,
  kept: number,
  bytes: number | undefined,
): Partial<CacheEntry> {
  const etag = headers.get('etag');
  const lastModified = headers.get('last-modified');
  return {
    ...(bytes !== undefined && { size: kept + bytes }),
    ...(etag && { etag }),
    ...(lastModified && { lastModified }),
  };
}

function cannotKeep(url: string, why: string): QuotaExceeded {
  return new QuotaExceeded(
    `${url} cannot be kept: ${why}. Clear the cache (cache.clear()), or load it without cache: true.`,
  );
}
