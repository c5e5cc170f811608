/** Weights on their way to the device. */

import { BadWeights, typed } from '../errors.ts';
import { requireHfConfig } from '../options.ts';
import type { PostedLoadOptions, Weights } from '../protocol.ts';
import { CorruptCache } from './cache-file.ts';
import { guarded, type Opened } from './devices.ts';
import { Download } from './download.ts';
import { type Header, readHeader } from './header.ts';
import { toHex } from './integrity.ts';
import type { Meter } from './meter.ts';
import type { Device, Model, Trainer } from './modules.ts';
import { jsonBeside } from './network.ts';
import { BlobReader, type Reader, StreamReader } from './reader.ts';

/** Where weights are read from. */
interface Source {
  reader: Reader;
  /** The download behind the reader, if it is one. */
  download: Download | undefined;
}

/** What loading needs beside the weights. */
export interface LoadContext {
  options: PostedLoadOptions;
  signal: AbortSignal;
  meter: Meter;
  /** Runs what nothing else on the device may come between. */
  exclusively<T>(task: () => T | Promise<T>): Promise<T>;
}

/** A place in the file. */
interface TensorRange {
  begin: number;
  end: number;
}

/** Loads a model, tensor by tensor. The file is opened while the device is still on its way. */
export function loadModel(
  opening: Promise<Opened>,
  weights: Weights,
  context: LoadContext,
): Promise<Model> {
  return withSource(weights, context, async (source) => {
    const header = await readHeader(source.reader);
    context.meter.total = header.fileBytes;
    const hfConfig =
      context.options.hfConfig ??
      (header.describesItself ? undefined : await configBeside(weights, source, context.signal));
    const { module, device } = await opening;
    const overrides = JSON.stringify(context.options.overrides ?? {});
    const make = (fileBytes: number) =>
      new module.WeightsLoader(device, header.bytes, fileBytes, hfConfig, overrides);
    return guarded(device, () => fill(make, device, source, header, hfConfig, context));
  });
}

/** Loads a trainer from a checkpoint, tensor by tensor. */
export function loadTrainer(
  opening: Promise<Opened>,
  weights: Weights,
  context: LoadContext,
): Promise<Trainer> {
  return withSource(weights, context, async (source) => {
    const header = await readHeader(source.reader);
    context.meter.total = header.fileBytes;
    const { module, device } = await opening;
    const make = (fileBytes: number) =>
      new module.CheckpointLoader(device, header.bytes, fileBytes);
    return guarded(device, () => fill(make, device, source, header, undefined, context));
  });
}

/** What takes the tensors of a file. */
interface Loader<T> {
  /** JSON of their places. */
  readonly tensors: string;
  write(index: number, bytes: Uint8Array): void;
  finish(): Promise<T>;
  free(): void;
}

async function fill<T>(
  make: (fileBytes: number) => Loader<T>,
  device: Device,
  source: Source,
  header: Header,
  hfConfig: string | undefined,
  { options, signal, meter, exclusively }: LoadContext,
): Promise<T> {
  const { reader, download } = source;
  const loader = await exclusively(() => make(reader.size ?? header.fileBytes));
  let consumed = false;
  try {
    const compiled = compileBeside(device, meter);
    const ranges = JSON.parse(loader.tensors) as TensorRange[];
    // Of a file on disk only these are read.
    if (!download) meter.total = ranges.at(-1)?.end ?? header.fileBytes;
    for (const [index, { begin, end }] of ranges.entries()) {
      loader.write(index, await reader.read(begin, end));
      signal.throwIfAborted();
    }
    await verify(source, options.integrity, hfConfig);
    await compiled();
    signal.throwIfAborted();
    return await exclusively(() => {
      consumed = true;
      return loader.finish();
    });
  } finally {
    if (!consumed) loader.free();
  }
}

/** Compiles kernels while something else is done. Returns what waits for them; only then their progress is
 * told. */
function compileBeside(device: Device, meter: Meter): () => Promise<void> {
  let reached: [done: number, total: number] | undefined;
  let awaited = false;
  const show = () => {
    if (awaited && reached) meter.kernels(...reached);
  };
  const compiled = device.compile((...progress) => {
    reached = progress;
    show();
  });
  // If nobody waits any more, the reason is another error.
  compiled.catch(() => {});
  return () => {
    awaited = true;
    show();
    return compiled;
  };
}

/** Uses a file of weights; once more from the network if what the cache had is damaged. */
async function withSource<T>(
  weights: Weights,
  context: LoadContext,
  use: (source: Source) => Promise<T>,
): Promise<T> {
  try {
    return await withSourceOnce(weights, context, use);
  } catch (error) {
    if (!(error instanceof CorruptCache)) throw error;
    return withSourceOnce(weights, context, use);
  }
}

async function withSourceOnce<T>(
  weights: Weights,
  context: LoadContext,
  use: (source: Source) => Promise<T>,
): Promise<T> {
  const source = await open(weights, context);
  const { reader, download } = source;
  try {
    return await use(source);
  } catch (error) {
    const known = typed(error);
    const damaged = known instanceof BadWeights && !download?.isChecked;
    if (damaged || error instanceof CorruptCache) download?.discard();
    throw named(known, reader.name) ?? error;
  } finally {
    await reader.cancel();
    await download?.close();
  }
}

/** What the module says of weights, with the file's name: it knows bytes alone. */
function named(error: Error, file: string): BadWeights | undefined {
  const [, problem] = /^weights: (.*)$/s.exec(error.message) ?? [];
  if (!(error instanceof BadWeights) || problem === undefined) return undefined;
  return new BadWeights(`${file}: ${problem}`, { cause: error });
}

async function open(weights: Weights, { options, signal, meter }: LoadContext): Promise<Source> {
  if ('url' in weights) {
    const { url, shipped } = weights;
    const download = await Download.start(
      url,
      shipped ? { ...options, cache: false } : options,
      signal,
    );
    meter.stage = download.fromNetwork ? 'download' : 'weights';
    meter.total = download.size;
    const name = shipped ? 'The shipped model' : fileOf(url);
    const reader = new StreamReader(download.chunks(), name, undefined, meter, download.isHashed);
    return { reader, download };
  }
  const { blob, name } = weights;
  // To check the whole file, all of it must be seen.
  const reader = options.integrity
    ? new StreamReader(chunksOf(blob), name, blob.size, meter, true)
    : new BlobReader(blob, name, meter);
  return { reader, download: undefined };
}

async function verify(
  { reader, download }: Source,
  integrity: string | undefined,
  hfConfig: string | undefined,
): Promise<void> {
  const sha256 = await reader.finish();
  if (download) return download.finish(sha256, hfConfig);
  if (sha256 !== undefined && integrity !== undefined && sha256 !== toHex(integrity)) {
    throw new BadWeights(
      `${reader.name} is not the file that was expected: its SHA-256 is ${sha256}, not ${integrity}.`,
    );
  }
}

/** Hugging Face keeps sizes that tensors do not show in `config.json`. */
async function configBeside(
  weights: Weights,
  { download }: Source,
  signal: AbortSignal,
): Promise<string | undefined> {
  if (download?.hfConfig !== undefined) return download.hfConfig;
  if (!('url' in weights) || !new URL(weights.url).pathname.endsWith('.safetensors'))
    return undefined;
  const json = await jsonBeside(weights.url, 'config.json', signal);
  if (json !== undefined) checkBeside(json);
  return json;
}

function checkBeside(json: string): void {
  try {
    requireHfConfig(json, 'config.json');
  } catch (error) {
    const { message } = error as Error;
    throw new BadWeights(`The file beside the weights cannot be used. ${message}`);
  }
}

async function* chunksOf(blob: Blob): AsyncGenerator<Uint8Array> {
  const reader = blob.stream().getReader();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      yield value;
    }
  } finally {
    await reader.cancel();
  }
}

function fileOf(url: string): string {
  const { pathname } = new URL(url);
  return decodeURIComponent(pathname.slice(pathname.lastIndexOf('/') + 1)) || url;
}
