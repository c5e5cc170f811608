/** Numbers of 16 bits (IEEE 754 binary16), for browsers without `Float16Array`. */

const float = new Float32Array(1);
const word = new Uint32Array(float.buffer);

/** From here on numbers round to infinity. */
const END = 65520;

/** Whether a finite number is too large. */
export function roundsToInfinity(value: number): boolean {
  return Math.abs(value) >= END && Number.isFinite(value);
}

/** The bits of `value`, rounded to nearest, ties to even. */
export function toHalf(value: number): number {
  float[0] = value;
  const bits = word[0] as number;
  const sign = (bits >>> 16) & 0x8000;
  const size = bits & 0x7fffffff;
  // NaN stays one.
  if (size > 0x7f800000) return sign | 0x7e00;
  if (Math.abs(value) >= END) return sign | 0x7c00;
  // Below the smallest normal number steps are even: 2^-24.
  if (size < 0x38800000) return sign | evenly(Math.abs(value) * 2 ** 24);
  // The exponent's offset is 15 in place of 127; a carry into it is right.
  return sign | ((size - 0x38000000 + 0xfff + ((size >>> 13) & 1)) >>> 13);
}

/** To the nearest whole number, ties to even. */
function evenly(value: number): number {
  const below = Math.floor(value);
  const rest = value - below;
  return rest > 0.5 || (rest === 0.5 && below % 2 === 1) ? below + 1 : below;
}
