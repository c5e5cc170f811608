/** The download of one file. */

import { body, length, request } from './network.ts';

/** A file on its way. */
export class Download {
  /** Whether bytes come from the network, not only from the cache. */
  readonly fromNetwork = true;
  /** Bytes in all, where the server told. */
  readonly size: number | undefined;
  readonly #response: Response;
  readonly #signal: AbortSignal;

  private constructor(response: Response, signal: AbortSignal) {
    this.#response = response;
    this.#signal = signal;
    this.size = length(response);
  }

  static async start(
    url: string,
    _options: { cache?: boolean },
    signal: AbortSignal,
  ): Promise<Download> {
    return new Download(await request(url, 0, signal), signal);
  }

  chunks(): AsyncGenerator<Uint8Array> {
    return body(this.#response, this.#signal);
  }

  async verify(_sha256: string): Promise<void> {}
  async commit(_sha256: string): Promise<void> {}
  async discard(): Promise<void> {}
  async close(): Promise<void> {}
}
