/** Files that the browser keeps on the device for this page. */

/** A folder of such files, made if it is not there; a path has a name for each level. */
export async function folderOf(...path: string[]): Promise<FileSystemDirectoryHandle> {
  let folder = await navigator.storage.getDirectory();
  for (const name of path) folder = await folder.getDirectoryHandle(name, { create: true });
  return folder;
}

/** Writes a file, which takes the place of an older one only when it is complete. */
export async function write(
  folder: FileSystemDirectoryHandle,
  name: string,
  data: FileSystemWriteChunkType,
): Promise<void> {
  const stream = await (await folder.getFileHandle(name, { create: true })).createWritable();
  try {
    await stream.write(data);
    await stream.close();
  } catch (error) {
    await stream.abort();
    throw error;
  }
}

/** A file, if it and its folder are there. */
export async function read(
  folder: Promise<FileSystemDirectoryHandle>,
  name: string,
): Promise<File | undefined> {
  try {
    return await (await (await folder).getFileHandle(name)).getFile();
  } catch {
    return undefined;
  }
}
