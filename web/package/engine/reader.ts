/** Files of weights, read in ascending order. */

import { sha256 } from '@noble/hashes/sha2.js';
import { BadWeights } from '../errors.ts';
import { hex } from '../hex.ts';
import type { Meter } from './meter.ts';

/** A file that is read from front to back. */
export interface Reader {
  /** What to call it in a message. */
  readonly name: string;
  /** Bytes in all, where that is known beforehand. */
  readonly size: number | undefined;
  /** Bytes `begin..end`, which must not lie before those read last.
   *
   * @throws {BadWeights} if the file ends before. */
  read(begin: number, end: number): Promise<Uint8Array>;
  /** Reads what is left, if the whole file must be seen; returns its SHA-256 in hexadecimal then. */
  finish(): Promise<string | undefined>;
  /** Gives up. */
  cancel(): Promise<void>;
}

/** A file on disk, of which only what is wanted is read. */
export class BlobReader implements Reader {
  readonly name: string;
  readonly size: number;
  readonly #blob: Blob;
  readonly #meter: Meter;

  constructor(blob: Blob, name: string, meter: Meter) {
    this.#blob = blob;
    this.name = name;
    this.size = blob.size;
    this.#meter = meter;
  }

  async read(begin: number, end: number): Promise<Uint8Array> {
    if (end > this.size) throw endsEarly(this.name, this.size, end);
    const bytes = await this.#blob.slice(begin, end).arrayBuffer();
    this.#meter.update(end);
    return new Uint8Array(bytes);
  }

  async finish(): Promise<undefined> {}

  async cancel(): Promise<void> {}
}

/** A stream of bytes; `hashed` if all of them shall be seen. */
export class StreamReader implements Reader {
  readonly name: string;
  readonly size: number | undefined;
  readonly #chunks: AsyncIterator<Uint8Array>;
  readonly #meter: Meter;
  readonly #hash: ReturnType<typeof sha256.create> | undefined;
  /** The last chunk and its place in the file. */
  #chunk = new Uint8Array();
  #chunkBegin = 0;

  constructor(
    chunks: AsyncIterable<Uint8Array>,
    name: string,
    size: number | undefined,
    meter: Meter,
    hashed: boolean,
  ) {
    this.#hash = hashed ? sha256.create() : undefined;
    this.#chunks = chunks[Symbol.asyncIterator]();
    this.name = name;
    this.size = size;
    this.#meter = meter;
  }

  async read(begin: number, end: number): Promise<Uint8Array> {
    const bytes = new Uint8Array(end - begin);
    let at = begin;
    while (at < end) {
      const from = at - this.#chunkBegin;
      const part = this.#chunk.subarray(from, from + end - at);
      bytes.set(part, at - begin);
      at += part.length;
      if (at < end && !(await this.#next())) throw endsEarly(this.name, this.#chunkBegin, end);
    }
    return bytes;
  }

  async finish(): Promise<string | undefined> {
    if (!this.#hash) return undefined;
    while (await this.#next());
    return hex(this.#hash.digest());
  }

  async cancel(): Promise<void> {
    await this.#chunks.return?.();
  }

  async #next(): Promise<boolean> {
    this.#chunkBegin += this.#chunk.length;
    const { done, value } = await this.#chunks.next();
    this.#chunk = done ? new Uint8Array() : (value as Uint8Array<ArrayBuffer>);
    if (done) return false;
    this.#hash?.update(this.#chunk);
    this.#meter.update(this.#chunkBegin + this.#chunk.length);
    return true;
  }
}

function endsEarly(name: string, size: number, wanted: number): BadWeights {
  return new BadWeights(
    `${name} ends after ${size} bytes, before byte ${wanted}: it is not whole. Download it again.`,
  );
}
