/** The page's side of the worker: starts it, calls it, cancels. */

import * as Comlink from 'comlink';
import { Closed, Internal, InvalidOption, NetworkError, typed } from './errors.ts';
import type { CallId, EngineApi, Events, Handle, WasmSources } from './protocol.ts';
import type { CallOptions, DeviceChoice, InitOptions, Progress, WasmSource } from './types.ts';

/** The worker's side, called from here. */
export type Engine = Comlink.Remote<EngineApi>;

/** A worker that runs. */
interface Connection {
  engine: Engine;
  /** Rejects if the worker stops. */
  stopped: Promise<never>;
}

/** More than a worker will ever have open. */
const HANDLES = 2 ** 32;

let chosen: InitOptions = {};
let connection: Promise<Connection> | undefined;
let workers = 0;
let lastCall: CallId = 0;
const progressListeners = new Map<CallId, (progress: Progress) => void>();
const saveListeners = new Map<Handle, (checkpoint: Uint8Array) => void>();

const events: Events = {
  progress: (call, progress) => progressListeners.get(call)?.(progress),
  saved: (trainer, checkpoint) => saveListeners.get(trainer)?.(checkpoint),
};

/** Says where the package's files are and what to run on, before the worker is started.
 *
 * @throws {InvalidOption} if it was. */
export function configure(options: InitOptions): void {
  if (connection) {
    throw new InvalidOption(
      'Call init with options before anything else of the package; the worker runs already.',
    );
  }
  chosen = options;
}

/** The device that is meant by a call that says `device`, or nothing. */
export function deviceFor(device: DeviceChoice | undefined): DeviceChoice {
  const wanted = device ?? chosen.device ?? 'auto';
  if (isChoice(wanted)) return wanted;
  throw new InvalidOption(`device: '${wanted}' is none of 'auto', 'webgpu' and 'cpu'.`);
}

/** Whether it says what to run on. */
export function isChoice(device: unknown): device is DeviceChoice {
  return device === 'auto' || device === 'webgpu' || device === 'cpu';
}

/** Calls the worker. Rejects with `signal`'s reason as soon as it is aborted; what the worker still
 * returns after that goes to `discard`. */
export async function call<T>(
  { signal, onProgress }: CallOptions,
  work: (engine: Engine, id: CallId) => Promise<T>,
  discard?: (late: T) => void,
): Promise<T> {
  signal?.throwIfAborted();
  const id = ++lastCall;
  if (onProgress) progressListeners.set(id, onProgress);
  const settled = new AbortController();
  try {
    connection ??= connect();
    const { engine, stopped } = await connection;
    signal?.throwIfAborted();
    const result = work(engine, id);
    const aborted = new Promise<never>((_, reject) => {
      const abort = () => {
        void engine.abort(id);
        result.then(discard, () => {});
        reject(signal?.reason);
      };
      signal?.addEventListener('abort', abort, { once: true, signal: settled.signal });
    });
    return await Promise.race([result, stopped, aborted]);
  } catch (error) {
    signal?.throwIfAborted();
    throw typed(error);
  } finally {
    settled.abort();
    progressListeners.delete(id);
  }
}

/** Calls `listener` whenever the worker saved `trainer` by itself. */
export function onSave(trainer: Handle, listener: (checkpoint: Uint8Array) => void): void {
  saveListeners.set(trainer, listener);
}

/** Frees a model or trainer in the worker. */
export async function release(handle: Handle): Promise<void> {
  saveListeners.delete(handle);
  await call({}, (engine) => engine.close(handle));
}

/** Whether the worker runs. */
export function isStarted(): boolean {
  return connection !== undefined;
}

/** The error of a call to something closed. */
export function closed(what: string): Closed {
  return new Closed(`This ${what} was closed; open another one.`);
}

async function connect(): Promise<Connection> {
  const worker = spawn();
  let started = false;
  const stopped = new Promise<never>((_, reject) => {
    worker.onerror = ({ message }) => {
      // What its WebAssembly was doing will never end; the next call starts another worker.
      connection = undefined;
      worker.terminate();
      reject(started ? crashed(message) : notStarted(message));
    };
  });
  stopped.catch(() => {});
  const engine = Comlink.wrap<EngineApi>(worker);
  const { wasm, wasmCpu } = chosen;
  const sources: WasmSources = {
    ...(wasm !== undefined && { webgpu: posted(wasm) }),
    ...(wasmCpu !== undefined && { cpu: posted(wasmCpu) }),
  };
  const start = engine.start(Comlink.proxy(events), sources, ++workers * HANDLES);
  await Promise.race([start, stopped]);
  started = true;
  return { engine, stopped };
}

function posted(source: WasmSource): string | BufferSource {
  const isAddress = typeof source === 'string' || source instanceof URL;
  return isAddress ? absolute(source) : (source as BufferSource);
}

function crashed(message: string): Internal {
  return new Internal(
    `The package's worker stopped: ${message}. Load the model again; if that repeats itself, a smaller model or picture may help.`,
  );
}

function notStarted(message: string): NetworkError {
  const why = message ? `: ${message}` : '';
  // Where older versions of Vite put a copy of this module alone.
  const advice = import.meta.url.includes('/.vite/deps/')
    ? "Add optimizeDeps: { exclude: ['webmae'] } to Vite's configuration, or use Vite 8"
    : 'Check that worker.js is served beside index.js, or say where it is: init({ worker })';
  return new NetworkError(`The package's worker could not be started${why}. ${advice}.`);
}

function spawn(): Worker {
  if (typeof Worker === 'undefined') {
    throw new Internal('There are no workers here; webmae runs in a page of a browser.');
  }
  if (chosen.worker !== undefined) return spawnAt(absolute(chosen.worker));
  try {
    // In exactly this form bundlers recognise a worker.
    return new Worker(new URL('./worker.ts', import.meta.url), { type: 'module' });
  } catch (error) {
    // The package comes straight from another site: its worker lies beside this module.
    if (!(error instanceof DOMException) || error.name !== 'SecurityError') throw error;
    const here = import.meta.url;
    return spawnAt(new URL('./worker.js', here).href);
  }
}

/** A worker of any site: a page may not start those of others, but import them. */
function spawnAt(url: string): Worker {
  if (new URL(url).origin === location.origin) return new Worker(url, { type: 'module' });
  const source = new Blob([`import ${JSON.stringify(url)};`], { type: 'text/javascript' });
  const address = URL.createObjectURL(source);
  return new Worker(address, { type: 'module' });
}

/** `url` against the page's base, as `fetch` sees it.
 *
 * @throws {InvalidOption} if it is no address. */
export function absolute(url: string | URL): string {
  try {
    return new Request(url).url;
  } catch (cause) {
    throw new InvalidOption(`'${url}' is no address that a file could be fetched from.`, { cause });
  }
}
