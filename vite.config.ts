import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vite';

export default defineConfig({
  // Any folder of any static host.
  base: './',
  publicDir: 'web/public',
  resolve: { alias: { webmae: fileURLToPath(new URL('web/package/index.ts', import.meta.url)) } },
  worker: { format: 'es' },
  build: { target: 'es2022', assetsInlineLimit: 0 },
});
