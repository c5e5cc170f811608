import { list, remove } from '../store.ts';

/** Makes room for so many bytes, if need be by removing the files that were not used for longest; returns
 * whether there is room now. Files in use stay. */
export async function makeRoom(bytes: number): Promise<boolean> {
  const { quota, usage } = await navigator.storage.estimate();
  if (quota === undefined || usage === undefined) return true;
  let free = quota - usage;
  if (free >= bytes) return true;
  for (const entry of (await list()).reverse()) {
    if (await remove(entry.url)) free += entry.bytes;
    if (free >= bytes) return true;
  }
  return false;
}
