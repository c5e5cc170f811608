import { InvalidOption } from '../errors.ts';
import { hex } from '../hex.ts';

/** An expected SHA-256, given in hexadecimal or as `sha256-<base64>`, in hexadecimal.
 *
 * @throws {InvalidOption} if it is no SHA-256. */
export function toHex(integrity: string): string {
  const text = /^[0-9a-f]{64}$/i.test(integrity) ? integrity.toLowerCase() : fromBase64(integrity);
  if (text?.length === 64) return text;
  throw new InvalidOption(
    `integrity: '${integrity}' is no SHA-256; give 64 hexadecimal digits or sha256-<base64>.`,
  );
}

function fromBase64(integrity: string): string | undefined {
  const [, base64] = /^sha256-([A-Za-z0-9+/]+=*)$/.exec(integrity) ?? [];
  if (base64 === undefined) return undefined;
  try {
    return hex(Uint8Array.from(atob(base64), (c) => c.charCodeAt(0)));
  } catch {
    return undefined;
  }
}
