/** Width and height of a picture file, from its first bytes, so that one that is too large is refused
 * before it is decoded. */

/** Bytes from a file's beginning in which its size is looked for. */
export const HEAD = 512 << 10;

type Size = [width: number, height: number];

/** Width and height, if the file is a PNG, GIF, BMP, WebP or JPEG and tells them in `head`. */
export function dimensions(head: Uint8Array): Size | undefined {
  const view = new DataView(head.buffer, head.byteOffset, head.byteLength);
  try {
    return png(view) ?? gif(view) ?? bmp(view) ?? webp(view) ?? jpeg(view);
  } catch (error) {
    // Cut off within what was looked for.
    if (error instanceof RangeError) return undefined;
    throw error;
  }
}

function text(view: DataView, at: number, expected: string): boolean {
  for (let i = 0; i < expected.length; i++) {
    if (view.getUint8(at + i) !== expected.charCodeAt(i)) return false;
  }
  return true;
}

function png(view: DataView): Size | undefined {
  if (!text(view, 1, 'PNG')) return undefined;
  return [view.getUint32(16), view.getUint32(20)];
}

function gif(view: DataView): Size | undefined {
  if (!text(view, 0, 'GIF8')) return undefined;
  return [view.getUint16(6, true), view.getUint16(8, true)];
}

function bmp(view: DataView): Size | undefined {
  if (!text(view, 0, 'BM')) return undefined;
  // A negative height means that the first row is the uppermost one.
  return [view.getInt32(18, true), Math.abs(view.getInt32(22, true))];
}

function webp(view: DataView): Size | undefined {
  if (!text(view, 0, 'RIFF') || !text(view, 8, 'WEBP')) return undefined;
  const uint24 = (at: number) => view.getUint16(at, true) + (view.getUint8(at + 2) << 16);
  if (text(view, 12, 'VP8X')) return [uint24(24) + 1, uint24(27) + 1];
  if (text(view, 12, 'VP8L')) {
    const bits = view.getUint32(21, true);
    return [(bits & 0x3fff) + 1, ((bits >> 14) & 0x3fff) + 1];
  }
  return [view.getUint16(26, true) & 0x3fff, view.getUint16(28, true) & 0x3fff];
}

function jpeg(view: DataView): Size | undefined {
  if (view.getUint16(0) !== 0xffd8) return undefined;
  for (let at = 2; ; ) {
    const marker = view.getUint16(at);
    // Any byte 0xff may be repeated before a marker.
    if (marker === 0xffff) {
      at += 1;
      continue;
    }
    if (marker < 0xff01) return undefined;
    const isFrame = marker >= 0xffc0 && marker <= 0xffcf;
    const isTable = marker === 0xffc4 || marker === 0xffc8 || marker === 0xffcc;
    if (isFrame && !isTable) return [view.getUint16(at + 7), view.getUint16(at + 5)];
    at += 2 + view.getUint16(at + 2);
  }
}
