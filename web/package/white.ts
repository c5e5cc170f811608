/** Models see no transparency: what is see-through stands on white, as on a page. */

/** Puts white behind straight RGBA pixels, in place.
 *
 * @returns whether any of them was see-through. */
export function putOnWhite(rgba: Uint8ClampedArray): boolean {
  let seeThrough = false;
  for (let i = 0; i < rgba.length; i += 4) {
    const alpha = rgba[i + 3] as number;
    if (alpha === 255) continue;
    seeThrough = true;
    for (let c = i; c < i + 3; c++) rgba[c] = 255 + (((rgba[c] as number) - 255) * alpha) / 255;
    rgba[i + 3] = 255;
  }
  return seeThrough;
}
