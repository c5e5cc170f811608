/** Weights on their way to the device. */

import { type Device, type Model, WeightsLoader } from '../../wasm/webmae.js';
import { BadWeights } from '../errors.ts';
import { toJson } from '../options.ts';
import type { PostedLoadOptions, Weights } from '../protocol.ts';
import { Download } from './download.ts';
import { readHeader } from './header.ts';
import { matches } from './integrity.ts';
import type { Meter } from './meter.ts';
import { jsonBeside } from './network.ts';
import { BlobReader, type Reader, StreamReader } from './reader.ts';

/** Where weights are read from. */
interface Source {
  reader: Reader;
  /** The download behind the reader, if it is one. */
  download: Download | undefined;
}

/** What reading needs beside the weights. */
export interface ReadContext {
  options: PostedLoadOptions;
  signal: AbortSignal;
  meter: Meter;
}

/** What loading needs beside the weights. */
export interface LoadContext extends ReadContext {
  /** Runs what nothing else on the device may come between. */
  exclusively<T>(task: () => T | Promise<T>): Promise<T>;
}

/** A place in the file. */
interface TensorRange {
  begin: number;
  end: number;
}

/** Loads a model, tensor by tensor. */
export async function loadModel(
  device: Device,
  weights: Weights,
  context: LoadContext,
): Promise<Model> {
  const { options } = context;
  return withSource(weights, context, async ({ reader, download }) => {
    const header = await readHeader(reader);
    context.meter.total = header.fileBytes;
    const hfConfig =
      options.hfConfig ??
      (header.describesItself ? undefined : await configBeside(weights, context));
    const fileBytes = reader.size ?? header.fileBytes;
    const overrides = toJson(options.overrides ?? {});
    const loader = await context.exclusively(
      () => new WeightsLoader(device, header.bytes, fileBytes, hfConfig, overrides),
    );
    let finished = false;
    try {
      const ranges = JSON.parse(loader.tensors) as TensorRange[];
      if (!download) context.meter.total = ranges.at(-1)?.end ?? header.fileBytes;
      for (const [index, { begin, end }] of ranges.entries()) {
        loader.write(index, await reader.read(begin, end));
        context.signal.throwIfAborted();
      }
      await verify(await reader.finish(), reader.name, options.integrity, download);
      finished = true;
      return await context.exclusively(() => loader.finish());
    } finally {
      if (!finished) loader.free();
    }
  });
}

/** The whole of a file, for a checkpoint. */
export async function readWhole(weights: Weights, context: ReadContext): Promise<Uint8Array> {
  return withSource(weights, context, async ({ reader, download }) => {
    const header = await readHeader(reader);
    context.meter.total = header.fileBytes;
    const data = await reader.read(header.bytes.length, header.fileBytes);
    await verify(await reader.finish(), reader.name, context.options.integrity, download);
    const whole = new Uint8Array(header.fileBytes);
    whole.set(header.bytes);
    whole.set(data, header.bytes.length);
    return whole;
  });
}

async function withSource<T>(
  weights: Weights,
  context: ReadContext,
  use: (source: Source) => Promise<T>,
): Promise<T> {
  const source = await open(weights, context);
  try {
    return await use(source);
  } finally {
    await source.reader.cancel();
    await source.download?.close();
  }
}

async function open(weights: Weights, { options, signal, meter }: ReadContext): Promise<Source> {
  if ('url' in weights) {
    const { url, shipped } = weights;
    const download = await Download.start(
      url,
      shipped ? { ...options, cache: false } : options,
      signal,
    );
    meter.stage = download.fromNetwork ? 'download' : 'weights';
    meter.total = download.size;
    const name = shipped ? 'the shipped model' : fileOf(url);
    return { reader: new StreamReader(download.chunks(), name, undefined, meter), download };
  }
  const { blob, name } = weights;
  meter.total = blob.size;
  // To check the whole file, all of it must be seen.
  const reader = options.integrity
    ? new StreamReader(chunksOf(blob), name, blob.size, meter)
    : new BlobReader(blob, name, meter);
  return { reader, download: undefined };
}

async function verify(
  sha256: string | undefined,
  name: string,
  integrity: string | undefined,
  download: Download | undefined,
): Promise<void> {
  if (sha256 === undefined) return;
  await download?.verify(sha256);
  if (integrity !== undefined && !matches(sha256, integrity)) {
    await download?.discard();
    throw new BadWeights(
      `${name} is not the file that was expected: its SHA-256 is ${sha256}, not ${integrity}. Get it from its source again.`,
    );
  }
  await download?.commit(sha256);
}

/** Hugging Face keeps sizes that tensors do not show in `config.json`. */
async function configBeside(
  weights: Weights,
  { signal }: ReadContext,
): Promise<string | undefined> {
  if (!('url' in weights) || !new URL(weights.url).pathname.endsWith('.safetensors'))
    return undefined;
  return jsonBeside(weights.url, 'config.json', signal);
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
