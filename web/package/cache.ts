/** Downloaded weights that the browser keeps. */

import { absolute } from './client.ts';
import { clear, list, remove } from './store.ts';
import type { CachedWeights } from './types.ts';

/** Weights that were downloaded and are kept for the next time, also parts of files whose download broke
 * off. They lie in the site's own part of the browser's storage (OPFS). */
export const cache = {
  /** All files, the latest used first; none where the browser keeps none. */
  async list(): Promise<CachedWeights[]> {
    const entries = await list();
    return entries.map(({ url, bytes, complete, sha256 }) => ({
      url,
      bytes,
      complete,
      ...(sha256 !== undefined && { sha256 }),
    }));
  },

  /** Removes the file of an address; returns whether there was one. One that is being read at the moment
   * stays.
   *
   * @throws {InvalidOption} if it is no address. */
  async delete(url: string | URL): Promise<boolean> {
    return remove(absolute(url));
  },

  /** Removes all files but those that are being read at the moment. */
  async clear(): Promise<void> {
    await clear();
  },
};
