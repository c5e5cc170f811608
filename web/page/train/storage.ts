import { folderOf, read, write } from '../device-files.ts';
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
  /** Length of its schedule. */
  totalSteps: number;
}

/** A run that is kept. */
export interface Kept {
  id: string;
  record: RunRecord;
}

/** Whether this browser keeps a run: Safari before 26 lacks the writing part. */
export function canKeep(): boolean {
  return (
    'storage' in navigator &&
    'getDirectory' in navigator.storage &&
    'locks' in navigator &&
    'createWritable' in FileSystemFileHandle.prototype
  );
}

/** The place of one run, which no other tab has meanwhile: the browser gives its lock back when the tab is closed. */
export class KeptRun {
  readonly #id: string;
  readonly #release: () => void;

  private constructor(id: string, release: () => void) {
    this.#id = id;
    this.#release = release;
  }

  /** A place for a new run; nothing where the browser keeps none. */
  static async create(): Promise<KeptRun | undefined> {
    return canKeep() ? KeptRun.open(crypto.randomUUID()) : undefined;
  }

  /** The kept runs that no tab has, the latest first. */
  static async list(): Promise<Kept[]> {
    if (!canKeep()) return [];
    const found: Kept[] = [];
    for await (const [id, handle] of (await folderOf(FOLDER)).entries()) {
      if (handle.kind !== 'directory') continue;
      const run = await KeptRun.open(id);
      if (!run) continue;
      const record = await run.#record();
      if (record) found.push({ id, record });
      // Its tab was closed before the first save.
      else await run.forget();
      run.release();
    }
    return found.sort((a, b) => b.record.time - a.record.time);
  }

  /** The place of a run; nothing if a tab has it. */
  static open(id: string): Promise<KeptRun | undefined> {
    return new Promise((resolve, reject) => {
      const held = navigator.locks.request(`webmae run ${id}`, { ifAvailable: true }, (lock) => {
        if (lock) return new Promise<void>((release) => resolve(new KeptRun(id, release)));
        resolve(undefined);
        return undefined;
      });
      held.catch(reject);
    });
  }

  /** Keeps the run's state. */
  async keep(record: RunRecord, checkpoint: Uint8Array): Promise<void> {
    await this.#write(CHECKPOINT, checkpoint as Uint8Array<ArrayBuffer>);
    await this.#write(RUN, JSON.stringify(record));
  }

  /** Keeps the visitor's pictures: their sizes, then their bytes. */
  async keepPictures(files: readonly Blob[]): Promise<void> {
    const sizes = new Uint32Array([files.length, ...files.map(({ size }) => size)]);
    await this.#write(PICTURES, new Blob([sizes, ...files]));
  }

  /** The run's checkpoint. */
  checkpoint(): Promise<File | undefined> {
    return this.#read(CHECKPOINT);
  }

  /** The visitor's pictures that the run learns from. */
  async pictures(): Promise<Blob[]> {
    const file = await this.#read(PICTURES);
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

  /** Removes the run. */
  async forget(): Promise<void> {
    await (await folderOf(FOLDER))
      .removeEntry(this.#id, { recursive: true })
      .catch(() => undefined);
    this.release();
  }

  /** Lets other tabs have the run. */
  release(): void {
    this.#release();
  }

  async #record(): Promise<RunRecord | undefined> {
    const file = await this.#read(RUN);
    if (!file) return undefined;
    try {
      return JSON.parse(await file.text()) as RunRecord;
    } catch {
      return undefined;
    }
  }

  #folder(): Promise<FileSystemDirectoryHandle> {
    return folderOf(FOLDER, this.#id);
  }

  async #write(name: string, data: FileSystemWriteChunkType): Promise<void> {
    await write(await this.#folder(), name, data);
  }

  #read(name: string): Promise<File | undefined> {
    return read(this.#folder(), name);
  }
}
