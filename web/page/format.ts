import type { Progress } from 'webmae';

const whole = new Intl.NumberFormat('en');
const UNITS = ['B', 'kB', 'MB', 'GB'];

/** `1,234`. */
export function count(value: number): string {
  return whole.format(value);
}

/** A count and its noun: `1 patch`, `3 patches`. */
export function plural(value: number, one: string, many: string): string {
  return `${count(value)} ${value === 1 ? one : many}`;
}

/** `12.3 MB`. */
export function bytes(value: number): string {
  let unit = 0;
  let scaled = value;
  while (scaled >= 1000 && unit < UNITS.length - 1) {
    scaled /= 1000;
    unit += 1;
  }
  return `${unit === 0 || scaled >= 100 ? scaled.toFixed(0) : scaled.toFixed(1)} ${UNITS[unit]}`;
}

/** How far kernels are compiled: `Preparing the GPU, 3 of 18`. */
export function preparing({ done, total }: Progress): string {
  return `Preparing the GPU, ${done} of ${total ?? '…'}`;
}

/** A loss to four significant digits. */
export function loss(value: number): string {
  return Number.isFinite(value) ? value.toPrecision(4) : '–';
}

/** A loss on an axis: at most eight letters, however large or small it is. */
export function lossMark(value: number): string {
  const size = Math.abs(value);
  if (size !== 0 && (size < 1e-3 || size >= 1e5)) return value.toExponential(1);
  return String(Number(value.toPrecision(4)));
}

/** Floating-point operations: `345 GFLOP/s`, `1.23 TFLOP/s`. */
export function rate(gflops: number): string {
  return gflops < 1000
    ? `${Number(gflops.toPrecision(3))} GFLOP/s`
    : `${Number((gflops / 1000).toPrecision(3))} TFLOP/s`;
}

/** `85 ms`, `3.2 s`. */
export function duration(milliseconds: number): string {
  if (milliseconds < 1000) return `${milliseconds.toFixed(0)} ms`;
  return `${(milliseconds / 1000).toFixed(1)} s`;
}

/** `4:07`, `1:02:09`. */
export function clock(milliseconds: number): string {
  const seconds = Math.floor(milliseconds / 1000);
  const two = (value: number) => String(value).padStart(2, '0');
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes}:${two(seconds % 60)}`;
  return `${Math.floor(minutes / 60)}:${two(minutes % 60)}:${two(seconds % 60)}`;
}

/** Parameters in millions: `5.6 M`. */
export function millions(value: number): string {
  return `${(value / 1e6).toFixed(value < 1e7 ? 1 : 0)} M`;
}

/** `3 minutes ago`. */
export function ago(time: number): string {
  const minutes = Math.round((Date.now() - time) / 60_000);
  if (minutes < 1) return 'a moment ago';
  if (minutes < 60) return `${plural(minutes, 'minute', 'minutes')} ago`;
  if (minutes < 48 * 60) return `${plural(Math.round(minutes / 60), 'hour', 'hours')} ago`;
  return `on ${new Date(time).toLocaleDateString('en-GB')}`;
}
