import type { Course } from './meters.ts';

const FOLDER = 'training';
const CHECKPOINT = 'checkpoint.safetensors';
const RUN = 'run.json';
const PICTURES = 'pictures.bin';

/** What is known of a run beside its checkpoint. */
export interface RunRecord extends Course {
  /** When it was saved, in milliseconds since 1970. */
  time: number;
  step: number;
  /** The recipe's form, by field. */
  recipe: Record<string, string>;
}

/** Whether this browser keeps a run: Safari before 26 lacks the writing part. */
export function canKeep(): boolean {
  return (
    'storage' in navigator &&
    'getDirectory' in navigator.storage &&
    'createWritable' in FileSystemFileHandle.prototype
  );
}

/** Keeps a run. A file takes the place of the older one only when it is complete. */
export async function keepRun(record: RunRecord, checkpoint: Uint8Array): Promise<void> {
  await write(CHECKPOINT, checkpoint as Uint8Array<ArrayBuffer>);
  await write(RUN, JSON.stringify(record));
}

/** Keeps the visitor's pictures: their sizes, then their bytes. */
export async function keepPictures(files: readonly Blob[]): Promise<void> {
  const sizes = new Uint32Array([files.length, ...files.map(({ size }) => size)]);
  await write(PICTURES, new Blob([sizes, ...files]));
}

/** The kept run, if there is one. */
export async function keptRun(): Promise<RunRecord | undefined> {
  const file = await read(RUN);
  if (!file) return undefined;
  try {
    return JSON.parse(await file.text()) as RunRecord;
  } catch {
    return undefined;
  }
}

/** The kept run's checkpoint. */
export function keptCheckpoint(): Promise<File | undefined> {
  return read(CHECKPOINT);
}

/** The visitor's pictures of the kept run. */
export async function keptPictures(): Promise<Blob[]> {
  const file = await read(PICTURES);
  if (!file) return [];
  const [count = 0] = new Uint32Array(await file.slice(0, 4).arrayBuffer());
  const sizes = new Uint32Array(await file.slice(4, 4 + 4 * count).arrayBuffer());
  let begin = 4 + 4 * count;
  return [...sizes].map((size) => {
    const part = file.slice(begin, begin + size, 'image/webp');
    begin += size;
    return part;
  });
}

/** Removes the kept run. */
export async function forgetRun(): Promise<void> {
  const root = await navigator.storage.getDirectory();
  await root.removeEntry(FOLDER, { recursive: true }).catch(() => undefined);
}

async function folder(): Promise<FileSystemDirectoryHandle> {
  const root = await navigator.storage.getDirectory();
  return root.getDirectoryHandle(FOLDER, { create: true });
}

async function write(name: string, data: FileSystemWriteChunkType): Promise<void> {
  const handle = await (await folder()).getFileHandle(name, { create: true });
  const stream = await handle.createWritable();
  try {
    await stream.write(data);
    await stream.close();
  } catch (error) {
    await stream.abort();
    throw error;
  }
}

async function read(name: string): Promise<File | undefined> {
  if (!canKeep()) return undefined;
  try {
    return await (await (await folder()).getFileHandle(name)).getFile();
  } catch {
    return undefined;
  }
}
