/** A mask as text for a link: one bit a patch by row, highest bit first, in base64url. */
export function encodeMask(mask: ArrayLike<number>): string {
  const packed = new Uint8Array(Math.ceil(mask.length / 8));
  for (let i = 0; i < mask.length; i++) {
    if (mask[i]) packed[i >> 3] = (packed[i >> 3] ?? 0) | (128 >> (i & 7));
  }
  return btoa(String.fromCharCode(...packed))
    .replaceAll('+', '-')
    .replaceAll('/', '_')
    .replaceAll('=', '');
}

/** Reverses {@link encodeMask}; undefined where `text` is not a mask of that many patches. */
export function decodeMask(text: string, patches: number): Uint8Array | undefined {
  let packed: string;
  try {
    packed = atob(text.replaceAll('-', '+').replaceAll('_', '/'));
  } catch {
    return undefined;
  }
  if (packed.length !== Math.ceil(patches / 8)) return undefined;
  return Uint8Array.from({ length: patches }, (_, i) =>
    packed.charCodeAt(i >> 3) & (128 >> (i & 7)) ? 1 : 0,
  );
}
