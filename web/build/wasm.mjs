// Builds the crate for browsers into web/wasm: cargo, wasm-bindgen, wasm-opt. Does nothing if no source
// is newer than the result. Fails if what a visitor downloads has grown beyond its budget.

import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../..');
const target = process.env.CARGO_TARGET_DIR ?? path.join(root, 'target');
const out = path.join(root, 'web/wasm');
const triple = 'wasm32-unknown-unknown';
const budget = 400 * 1024;
const sources = [
  'src',
  'shaders',
  'build.rs',
  'Cargo.toml',
  'Cargo.lock',
  'web/bindgen/src',
  'web/bindgen/Cargo.lock',
  'web/build/wasm.mjs',
];
// What every browser with WebGPU has, and rustc uses.
const features = [
  'bulk-memory',
  'bulk-memory-opt',
  'mutable-globals',
  'multivalue',
  'nontrapping-float-to-int',
  'reference-types',
  'sign-ext',
];

function newest(file) {
  const stat = statSync(file);
  if (!stat.isDirectory()) return stat.mtimeMs;
  return Math.max(0, ...readdirSync(file).map((name) => newest(path.join(file, name))));
}

function run(command, args, options = {}) {
  const { status, error } = spawnSync(command, args, { cwd: root, stdio: 'inherit', ...options });
  if (error?.code === 'ENOENT')
    throw new Error(`${command} was not found; install Rust as https://rustup.rs says`);
  if (error) throw error;
  if (status !== 0) throw new Error(`${command} ${args[0]} failed`);
}

function ensureTarget() {
  const { status, stdout } = spawnSync('rustc', ['--print', 'target-libdir', '--target', triple], {
    cwd: root,
    encoding: 'utf8',
  });
  if (status === 0 && existsSync(stdout.trim())) return;
  console.log(`installing Rust's ${triple} target`);
  run('rustup', ['target', 'add', triple]);
}

function build() {
  ensureTarget();
  run('cargo', [
    'build',
    '--quiet',
    '--lib',
    '--no-default-features',
    '--profile',
    'wasm',
    '--target',
    triple,
  ]);
  run('cargo', [
    'build',
    '--quiet',
    '--manifest-path',
    'web/bindgen/Cargo.toml',
    '--target-dir',
    path.join(target, 'bindgen'),
  ]);
  mkdirSync(out, { recursive: true });
  run(path.join(target, 'bindgen/debug/webmae-bindgen'), [
    path.join(target, triple, 'wasm/webmae.wasm'),
    out,
  ]);
  const wasm = path.join(out, 'webmae_bg.wasm');
  const enable = features.map((feature) => `--enable-${feature}`);
  run(process.execPath, [
    path.join(root, 'node_modules/binaryen/bin/wasm-opt'),
    // Copies of generic code for different types.
    '--merge-similar-functions',
    '-Oz',
    ...enable,
    wasm,
    '-o',
    wasm,
  ]);
}

function report() {
  let total = 0;
  for (const name of ['webmae_bg.wasm', 'webmae.js']) {
    const bytes = readFileSync(path.join(out, name));
    const packed = gzipSync(bytes, { level: 9 }).length;
    total += packed;
    console.log(
      `${name}: ${(bytes.length / 1024).toFixed(0)} KiB, ${(packed / 1024).toFixed(0)} KiB gzip`,
    );
  }
  if (total > budget) throw new Error(`${total} bytes gzip are more than the budget of ${budget}`);
}

const result = path.join(out, 'webmae_bg.wasm');
const stale =
  !existsSync(result) ||
  sources.some((source) => newest(path.join(root, source)) > statSync(result).mtimeMs);
try {
  if (stale) {
    build();
    report();
  }
} catch (error) {
  console.error(`error: ${error.message}`);
  process.exit(1);
}
