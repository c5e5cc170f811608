/** Digests of a file's blocks. The browser computes them ten times as fast as a script computes the digest
 * of a stream, so that a large file is checked on every load. */

import { digest } from '../hex.ts';

/** Bytes of a block; the last one may be shorter. */
export const BLOCK = 4 << 20;

/** Digests the blocks of a stream. */
export class Blocks {
  readonly #digests: string[] = [];
  readonly #block = new Uint8Array(BLOCK);
  #filled = 0;

  /** Takes the next bytes. */
  async add(bytes: Uint8Array): Promise<void> {
    for (let at = 0; at < bytes.length; ) {
      const part = bytes.subarray(at, at + BLOCK - this.#filled);
      this.#block.set(part, this.#filled);
      this.#filled += part.length;
      at += part.length;
      if (this.#filled === BLOCK) await this.#close();
    }
  }

  /** The digests of all blocks. */
  async finish(): Promise<string[]> {
    if (this.#filled > 0) await this.#close();
    return this.#digests;
  }

  async #close(): Promise<void> {
    this.#digests.push(await digest(this.#block.subarray(0, this.#filled)));
    this.#filled = 0;
  }
}
