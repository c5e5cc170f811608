import { execFileSync } from 'node:child_process';
import path from 'node:path';
import process from 'node:process';

const PROGRAM =
  process.env.WEBMAE ?? path.join(process.env.CARGO_TARGET_DIR ?? 'target', 'debug', 'webmae');

/** Runs the native command line and returns what it printed. */
export function webmae(...args: string[]): string {
  return execFileSync(PROGRAM, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
}
