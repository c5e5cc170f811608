// Bundles the npm package into lib: lib/js (module, worker, types) and lib/wasm. Its layout is that of
// the sources, so that the same relative addresses hold.

import { spawnSync } from 'node:child_process';
import { copyFileSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { build } from 'esbuild';

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../..');
const lib = path.join(root, 'lib');
rmSync(lib, { recursive: true, force: true });

await build({
  absWorkingDir: root,
  entryPoints: ['web/package/index.ts', 'web/package/worker.ts'],
  outdir: 'lib/js',
  bundle: true,
  format: 'esm',
  target: 'es2022',
  minify: true,
  legalComments: 'inline',
  logLevel: 'warning',
});

// Bundlers find the worker by this very expression.
const index = path.join(lib, 'js/index.js');
const text = readFileSync(index, 'utf8');
const linked = text.replaceAll('./worker.ts', './worker.js');
if (linked === text)
  throw new Error('index.js does not start a worker by new URL("./worker.ts", import.meta.url)');
writeFileSync(index, linked);

const modules = ['webmae_bg', 'webmae_cpu_bg', 'webmae_cpu_relaxed_bg'];
mkdirSync(path.join(lib, 'wasm'), { recursive: true });
for (const name of modules) {
  copyFileSync(path.join(root, `web/wasm/${name}.wasm`), path.join(lib, `wasm/${name}.wasm`));
}

const tsc = spawnSync(
  process.execPath,
  ['node_modules/typescript/bin/tsc', '-p', 'web/package/tsconfig.json'],
  { cwd: root, stdio: 'inherit' },
);
if (tsc.status !== 0) process.exit(tsc.status ?? 1);

const packed = (name) => {
  const bytes = readFileSync(path.join(lib, name));
  const size = gzipSync(bytes, { level: 9 }).length;
  console.log(
    `lib/${name}: ${(bytes.length / 1024).toFixed(0)} KiB, ${(size / 1024).toFixed(0)} KiB gzip`,
  );
  return size;
};
const scripts = packed('js/index.js') + packed('js/worker.js');
// A visitor downloads one of the modules.
for (const name of modules) {
  const total = scripts + packed(`wasm/${name}.wasm`);
  const budget = name.startsWith('webmae_cpu') ? 360 : 400;
  console.log(`with the scripts ${(total / 1024).toFixed(0)} KiB gzip of ${budget}`);
  if (total > budget * 1024) {
    console.error('error: the package is over its budget');
    process.exit(1);
  }
}
