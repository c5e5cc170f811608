import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import path from 'node:path';

const TYPES: Record<string, string> = {
  '.css': 'text/css',
  '.html': 'text/html',
  '.js': 'text/javascript',
  '.json': 'application/json',
  '.wasm': 'application/wasm',
  '.webp': 'image/webp',
};

/** Something the server has beside the files of its folder. */
export interface Resource {
  body: Uint8Array | string;
  type?: string;
  status?: number;
  /** Whether byte ranges are answered, `true` by default. */
  ranges?: boolean;
  /** Changes with the body by default; `null` for none. */
  etag?: string | null;
  /** Without a length, as a server that compresses on the fly. */
  chunked?: boolean;
  /** Cuts the connection after so many bytes of an answer. */
  cutAfter?: number;
  /** Waits after so many bytes of an answer, until the test lets it go on. */
  pauseAfter?: { bytes: number; until: Promise<void> };
}

/** A request for a resource. */
export interface Received {
  method: string;
  path: string;
  range?: string | undefined;
}

/** A static server of a folder, with resources that tests add and break and that pages may put. */
export class Server {
  /** By path, with the leading slash. */
  readonly resources = new Map<string, Resource>();
  /** Requests for resources, in order. */
  readonly received: Received[] = [];
  readonly #server = createServer((request, response) => void this.#answer(request, response));
  readonly #folder: string;

  constructor(folder: string) {
    this.#folder = path.resolve(folder);
  }

  async start(): Promise<void> {
    this.#server.listen(0, '127.0.0.1');
    await once(this.#server, 'listening');
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections();
    this.#server.close();
    await once(this.#server, 'close');
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  /** Of the pages. */
  get origin(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  /** The same server as another origin. */
  get elsewhere(): string {
    return `http://localhost:${this.port}`;
  }

  /** Adds a resource and returns its address. */
  add(name: string, resource: Resource): string {
    this.resources.set(`/${name}`, resource);
    return `${this.origin}/${name}`;
  }

  /** The bytes that a page put. */
  taken(name: string): Buffer {
    return bytesOf(this.resources.get(`/${name}`)?.body ?? '');
  }

  clear(): void {
    this.resources.clear();
    this.received.length = 0;
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { pathname } = new URL(request.url ?? '/', this.origin);
    response.setHeader('access-control-allow-origin', '*');
    response.setHeader('access-control-expose-headers', 'etag, content-range, accept-ranges');
    response.setHeader('access-control-allow-headers', '*');
    response.setHeader('cache-control', 'no-store');
    if (request.method === 'OPTIONS') {
      response.writeHead(204).end();
      return;
    }
    if (request.method === 'PUT') {
      this.resources.set(pathname, { body: Buffer.concat(await request.toArray()) });
      response.writeHead(204).end();
      return;
    }
    const resource = this.resources.get(pathname);
    if (!resource) return this.#file(pathname, response);
    const { range, 'if-range': ifRange } = request.headers;
    const { method = 'GET' } = request;
    this.received.push({ method, path: pathname, range });
    await send(resource, method, range, ifRange as string | undefined, response);
  }

  async #file(pathname: string, response: ServerResponse): Promise<void> {
    const name = pathname.endsWith('/') ? `${pathname}index.html` : pathname;
    const file = path.join(this.#folder, decodeURIComponent(name));
    const body = file.startsWith(this.#folder)
      ? await readFile(file).catch(() => undefined)
      : undefined;
    response.setHeader('content-type', TYPES[path.extname(file)] ?? 'application/octet-stream');
    response.writeHead(body ? 200 : 404).end(body);
  }
}

async function send(
  resource: Resource,
  method: string,
  range: string | undefined,
  ifRange: string | undefined,
  response: ServerResponse,
): Promise<void> {
  const body = bytesOf(resource.body);
  const etag = resource.etag === undefined ? digest(body) : resource.etag;
  response.setHeader('content-type', resource.type ?? 'application/octet-stream');
  if (etag) response.setHeader('etag', etag);
  const wanted = resource.ranges === false ? null : /^bytes=(\d+)-(\d*)$/.exec(range ?? '');
  let part = body;
  if (wanted && (ifRange === undefined || ifRange === etag)) {
    const begin = Number(wanted[1]);
    const end = Math.min(wanted[2] ? Number(wanted[2]) + 1 : body.length, body.length);
    if (begin >= body.length) {
      response.setHeader('content-range', `bytes */${body.length}`);
      response.writeHead(416).end();
      return;
    }
    part = body.subarray(begin, end);
    response.setHeader('content-range', `bytes ${begin}-${end - 1}/${body.length}`);
    response.statusCode = 206;
  } else {
    response.statusCode = resource.status ?? 200;
  }
  if (!resource.chunked) response.setHeader('content-length', part.length);
  if (method === 'HEAD') {
    response.end();
    return;
  }
  if (resource.cutAfter !== undefined && part.length > resource.cutAfter) {
    response.write(part.subarray(0, resource.cutAfter), () => response.destroy());
    return;
  }
  if (resource.pauseAfter) {
    response.write(part.subarray(0, resource.pauseAfter.bytes));
    await resource.pauseAfter.until;
    part = part.subarray(resource.pauseAfter.bytes);
  }
  response.end(part);
}

function bytesOf(body: Uint8Array | string): Buffer {
  if (typeof body === 'string') return Buffer.from(body);
  return Buffer.from(body.buffer, body.byteOffset, body.byteLength);
}

function digest(body: Buffer): string {
  return `"${createHash('sha256').update(body).digest('hex').slice(0, 16)}"`;
}
