/** Downloads. */

import { NetworkError } from '../errors.ts';

/** Starts a download of the bytes from `begin` on; a server may answer with all of them (status 200). `cache` is
 * the browser's own.
 *
 * @throws {NetworkError} if there is no answer, or another one than the file. */
export async function request(
  url: string,
  begin: number,
  signal: AbortSignal,
  cache: RequestCache,
): Promise<Response> {
  const headers = begin > 0 ? { Range: `bytes=${begin}-` } : {};
  let response: Response;
  try {
    response = await fetch(url, { headers, signal, cache });
  } catch (cause) {
    signal.throwIfAborted();
    throw new NetworkError(
      `${url} could not be fetched: there is no connection, or its server does not let pages of other sites read it (CORS). Download the file and open it from disk.`,
      { cause },
    );
  }
  // 416: there is nothing from `begin` on.
  if (response.ok || (response.status === 416 && begin > 0)) return response;
  const advice =
    response.status === 404
      ? 'Check the address.'
      : response.status === 401 || response.status === 403
        ? 'The file is not public; download it and open it from disk.'
        : 'Try again later.';
  throw new NetworkError(
    `${url} could not be fetched: the server answered ${response.status} ${response.statusText}. ${advice}`,
  );
}

/** The body of a response, chunk by chunk.
 *
 * @throws {NetworkError} if the connection breaks. */
export async function* body(response: Response, signal: AbortSignal): AsyncGenerator<Uint8Array> {
  const reader = response.body?.getReader();
  if (!reader) return;
  let whole = false;
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      yield value;
    }
    whole = true;
  } catch (cause) {
    signal.throwIfAborted();
    throw new NetworkError(
      `The download of ${response.url} broke off. Load it again; what came so far is kept if the browser can.`,
      { cause },
    );
  } finally {
    if (!whole) await reader.cancel().catch(() => {});
  }
}

/** Bytes that the response will have; unknown where the server does not tell, or packs them. */
export function length(response: Response): number | undefined {
  const text = response.headers.get('content-length');
  if (text === null || response.headers.has('content-encoding')) return undefined;
  return Number(text);
}

/** The text of the JSON file `name` beside `url`, if there is one. */
export async function jsonBeside(
  url: string,
  name: string,
  signal: AbortSignal,
): Promise<string | undefined> {
  try {
    const response = await fetch(new URL(name, url), { signal });
    if (!response.ok) return undefined;
    const text = await response.text();
    // Many servers answer with a page of their own instead.
    JSON.parse(text);
    return text;
  } catch {
    signal.throwIfAborted();
    return undefined;
  }
}
