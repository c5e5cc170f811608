// Makes web/public/prepared: what the shipped model reconstructs of the shipped photographs, for
// visitors without WebGPU and for the first moments of all others.
//
//   npm run build:wasm && node web/page/reconstruct/make-prepared.mjs
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { chromium } from '@playwright/test';
import { createServer } from 'vite';

const RATIOS = [0.5, 0.75, 0.9];
const SEED = 3;
const OUT = 'web/public/prepared';

const credits = JSON.parse(await readFile('web/public/photographs/credits.json', 'utf8'));
const server = await createServer({ server: { port: 0 }, logLevel: 'error' });
await server.listen();
const browser = await chromium.launch({
  executablePath: process.env.CHROME ?? '/usr/bin/chromium',
  args: ['--no-sandbox', '--enable-unsafe-webgpu', '--use-webgpu-adapter=swiftshader'],
});
try {
  const page = await browser.newPage();
  await page.goto(`${server.resolvedUrls.local[0]}mark.svg`);
  await mkdir(OUT, { recursive: true });
  const index = { size: 0, grid: [0, 0], seed: SEED, pictures: {} };
  for (const { id, file } of credits) {
    const { strip, size, grid, made } = await page.evaluate(reconstructAll, { file, RATIOS, SEED });
    await writeFile(`${OUT}/${id}.webp`, Buffer.from(strip, 'base64'));
    Object.assign(index, { size, grid });
    index.pictures[id] = made;
  }
  await writeFile(`${OUT}/index.json`, `${JSON.stringify(index, null, 2)}\n`);
} finally {
  await browser.close();
  await server.close();
}

/** In the browser: the original and a reconstruction for each ratio, side by side. */
async function reconstructAll({ file, RATIOS, SEED }) {
  const { MAE } = await import('/web/package/index.ts');
  const { encodeMask } = await import('/web/page/mask-code.ts');
  globalThis.mae ??= await MAE.load('tiny');
  const photograph = await (await fetch(`/photographs/${file}`)).blob();
  const results = [];
  for (const maskRatio of RATIOS) {
    results.push(
      await globalThis.mae.reconstruct(photograph, { maskRatio, seed: SEED, strategy: 'random' }),
    );
  }
  const { original, grid } = results[0];
  const size = original.width;
  const canvas = new OffscreenCanvas(size * (1 + results.length), size);
  const context = canvas.getContext('2d');
  [original, ...results.map(({ reconstruction }) => reconstruction)].forEach((picture, i) => {
    context.putImageData(picture, i * size, 0);
  });
  const bytes = new Uint8Array(
    await (await canvas.convertToBlob({ type: 'image/webp', quality: 0.92 })).arrayBuffer(),
  );
  const made = results.map(({ mask, loss }, i) => ({
    ratio: RATIOS[i],
    mask: encodeMask(mask),
    loss,
  }));
  return { strip: btoa(String.fromCharCode(...bytes)), size, grid, made };
}
