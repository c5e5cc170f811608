/** What WebAssembly can do with vectors here. */

/** Vectors of four numbers, and also multiplications that add; or neither. */
export type Simd = 'relaxed' | 'simd' | 'none';

/** The best there is. */
export function simd(): Simd {
  // () -> v128 of no arguments: nothing is run, the question is only whether the browser takes the module.
  if (validates([...ZERO, ...ZERO, ...ZERO, ...RELAXED_MADD])) return 'relaxed';
  return validates(ZERO) ? 'simd' : 'none';
}

/** `v128.const 0` by way of `i32.const 0`, `i8x16.splat`. */
const ZERO = [0x41, 0, 0xfd, 0x0f];
const RELAXED_MADD = [0xfd, 0x85, 0x02];

/** Whether the browser takes a function that returns the vector which `code` leaves. */
function validates(code: number[]): boolean {
  const header = [0, 0x61, 0x73, 0x6d, 1, 0, 0, 0];
  const types = [1, 5, 1, 0x60, 0, 1, 0x7b];
  const functions = [3, 2, 1, 0];
  const body = [0, ...code, 0x0b];
  const bodies = [10, body.length + 2, 1, body.length, ...body];
  return WebAssembly.validate(new Uint8Array([...header, ...types, ...functions, ...bodies]));
}
