/** Room for the cache. */

import { list, remove } from '../store.ts';

/** Makes room for so many bytes, as far as the browser tells, by removing the files that were not used for
 * longest. Returns how many bytes are missing, 0 if there is room; no file goes if all would not do. */
export async function makeRoom(bytes: number): Promise<number> {
  const kept = (await list()).reduce((sum, entry) => sum + entry.bytes, 0);
  const missing = bytes - kept - (await free());
  if (missing > 0) return missing;
  const made = await withRoom(async () => (await free()) >= bytes);
  return made ? 0 : bytes - (await free());
}

/** Bytes that are free, as far as the browser tells. */
async function free(): Promise<number> {
  const { quota = Number.POSITIVE_INFINITY, usage = 0 } = await navigator.storage.estimate();
  return quota - usage;
}

/** Tries until it works, each time with one old file less; returns whether it worked. What browsers tell
 * of their room is only roughly true, so that a failure to write may be the first sign of its end. */
export async function withRoom(attempt: () => boolean | Promise<boolean>): Promise<boolean> {
  while (!(await attempt())) if (!(await removeOldest())) return false;
  return true;
}

/** Removes the file that was not used for longest and is not in use; returns whether there was one. */
async function removeOldest(): Promise<boolean> {
  for (const { url } of (await list()).reverse()) if (await remove(url)) return true;
  return false;
}
