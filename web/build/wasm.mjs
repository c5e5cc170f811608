// Builds the crate for browsers into web/wasm: cargo, wasm-bindgen, wasm-opt. Two modules with the same interface, of
// which a visitor loads one: for WebGPU, and for the processor; the latter also as relaxed SIMD, for browsers that have
// it. A third one has both, to check a GPU. Does nothing if no source is newer than the result. Fails if what a visitor
// downloads has grown beyond its budget.

import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, statSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../..');
const target = process.env.CARGO_TARGET_DIR ?? path.join(root, 'target');
const out = path.join(root, 'web/wasm');
const triple = 'wasm32-unknown-unknown';
const sources = [
  'kernels',
  'src',
  'Cargo.toml',
  'Cargo.lock',
  'web/bindgen/src',
  'web/bindgen/Cargo.lock',
  'web/build/wasm.mjs',
];

// What every browser with WebGPU has, and rustc uses.
const common = [
  'bulk-memory',
  'bulk-memory-opt',
  'mutable-globals',
  'multivalue',
  'nontrapping-float-to-int',
  'reference-types',
  'sign-ext',
];

// Small when packed: copies of generic code for different types stay functions of their own, and lie side by side by
// their names, where gzip finds them. Rust puts its stack lowest, so that no data is in the first 1024 bytes.
const optimize = [
  '--low-memory-unused',
  '-Oz',
  '--one-caller-inline-max-function-size=0',
  '--reorder-functions-by-name',
];

const modules = [
  {
    name: 'webmae',
    feature: 'gpu,dropout',
    profile: 'wasm',
    simd: [],
    budget: 400 * 1024,
  },
  {
    name: 'webmae_cpu',
    feature: 'cpu',
    profile: 'wasm-cpu',
    simd: ['simd'],
    budget: 300 * 1024,
  },
  {
    name: 'webmae_cpu_relaxed',
    // Its script is the other one's.
    script: 'webmae_cpu',
    feature: 'cpu',
    profile: 'wasm-cpu',
    simd: ['simd', 'relaxed-simd'],
    budget: 300 * 1024,
  },
  {
    // Shaders beside their twins, for those who check and measure their GPU.
    name: 'webmae_check',
    feature: 'check',
    profile: 'wasm-cpu',
    simd: ['simd'],
    budget: 340 * 1024,
  },
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

function buildBindgen() {
  const folder = path.join(target, 'bindgen');
  const manifest = ['--manifest-path', 'web/bindgen/Cargo.toml'];
  run('cargo', ['build', '--quiet', ...manifest, '--target-dir', folder]);
  return path.join(folder, 'debug/webmae-bindgen');
}

/** rustc's name of a feature of WebAssembly. */
const rustName = (feature) => (feature === 'simd' ? 'simd128' : feature);

function build(bindgen, { name, script = name, feature, profile, simd }) {
  const flags = simd.map((feature) => `-Ctarget-feature=+${rustName(feature)}`);
  const command = [
    'rustc',
    '--quiet',
    '--lib',
    '--crate-type=cdylib',
    '--no-default-features',
    `--features=${feature}`,
    `--profile=${profile}`,
    `--target=${triple}`,
  ];
  run('cargo', command, {
    env: { ...process.env, CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUSTFLAGS: flags.join(' ') },
  });
  const folder = path.join(target, 'bindings', name);
  run(bindgen, [path.join(target, triple, profile, 'webmae.wasm'), folder, script]);
  const enable = [...common, ...simd].map((feature) => `--enable-${feature}`);
  const wasm = path.join(folder, `${script}_bg.wasm`);
  const result = path.join(out, `${name}_bg.wasm`);
  const binaryen = path.join(root, 'node_modules/binaryen/bin/wasm-opt');
  run(process.execPath, [binaryen, ...optimize, ...enable, wasm, '-o', result]);
  if (name === script) {
    for (const ending of ['.js', '.d.ts'])
      renameSync(path.join(folder, script + ending), path.join(out, script + ending));
  } else if (text(path.join(folder, `${script}.js`)) !== text(path.join(out, `${script}.js`))) {
    throw new Error(`${name} needs another script than ${script}`);
  }
}

const text = (file) => readFileSync(file, 'utf8');

function report({ name, script = name, budget }) {
  let total = 0;
  for (const file of [`${name}_bg.wasm`, `${script}.js`]) {
    const bytes = readFileSync(path.join(out, file));
    const packed = gzipSync(bytes, { level: 9 }).length;
    total += packed;
    console.log(
      `${file}: ${(bytes.length / 1024).toFixed(0)} KiB, ${(packed / 1024).toFixed(0)} KiB gzip`,
    );
  }
  if (total > budget)
    throw new Error(`${name}: ${total} bytes gzip are more than the budget of ${budget}`);
}

const result = path.join(out, `${modules.at(-1).name}_bg.wasm`);
const stale =
  !existsSync(result) ||
  sources.some((source) => newest(path.join(root, source)) > statSync(result).mtimeMs);
try {
  if (stale) {
    ensureTarget();
    const bindgen = buildBindgen();
    mkdirSync(out, { recursive: true });
    for (const module of modules) build(bindgen, module);
    modules.forEach(report);
  }
} catch (error) {
  console.error(`error: ${error.message}`);
  process.exit(1);
}
