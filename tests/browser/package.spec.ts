import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import {
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import process from 'node:process';
import { test as base, expect, type Page } from '@playwright/test';
import { withoutErrors } from './support/console.ts';
import { Server } from './support/server.ts';

/** What somebody writes on the first evening. */
const main = (from: string) => `import { MAE } from '${from}';

const image = new ImageData(96, 96);
image.data.fill(200);
const mae = await MAE.load('tiny');
const { grid, loss } = await mae.reconstruct(image, { seed: 1 });
document.title = \`\${grid.join(' × ')} patches, \${loss > 0}\`;
`;

const html = (script: string) => `<!doctype html>
<html lang="en">
  <meta charset="utf-8">
  <title>waiting</title>
  <link rel="icon" href="data:,">
  <script type="module" src="${script}"></script>
</html>`;

const TSCONFIG = {
  compilerOptions: {
    strict: true,
    exactOptionalPropertyTypes: true,
    skipLibCheck: false,
    noEmit: true,
    target: 'ES2022',
    module: 'NodeNext',
    lib: ['ES2023', 'DOM', 'DOM.Iterable'],
    types: [],
  },
  include: ['main.ts'],
};

/** A fresh app with the packed package installed. */
const test = base.extend<object, { app: string; server: Server }>({
  app: [
    // biome-ignore lint/correctness/noEmptyPattern: Playwright reads the parameters' names.
    async ({}, use) => {
      const app = mkdtempSync(path.join(tmpdir(), 'webmae-app-'));
      npm('.', 'pack', '--ignore-scripts', '--pack-destination', app);
      const packed = readdirSync(app).find((name) => name.endsWith('.tgz')) ?? '';
      writeFileSync(path.join(app, 'package.json'), '{ "private": true, "type": "module" }');
      npm(app, 'install', '--offline', `./${packed}`);
      for (const tool of ['vite', 'typescript']) {
        symlinkSync(path.resolve('node_modules', tool), path.join(app, 'node_modules', tool));
      }
      writeFileSync(path.join(app, 'index.html'), html('/main.ts'));
      writeFileSync(path.join(app, 'main.ts'), main('webmae'));
      writeFileSync(path.join(app, 'tsconfig.json'), JSON.stringify(TSCONFIG));
      await use(app);
      rmSync(app, { recursive: true });
    },
    { scope: 'worker' },
  ],
  server: [
    async ({ app }, use) => {
      const server = new Server(app);
      await server.start();
      await use(server);
      await server.stop();
    },
    { scope: 'worker' },
  ],
  page: ({ page }, use) => withoutErrors(page, use),
});

test('its types stand alone', ({ app }) => {
  tool(app, 'typescript/bin/tsc', '-p', '.');
  tool(app, 'typescript/bin/tsc', '-p', '.', '--module', 'ESNext', '--moduleResolution', 'bundler');
});

test("runs in Vite's development server", async ({ page, app }) => {
  const vite = spawn(
    process.execPath,
    ['node_modules/vite/bin/vite.js', '--host', '127.0.0.1', '--port', '0'],
    { cwd: app, env: { ...process.env, NO_COLOR: '1' } },
  );
  try {
    await page.goto(await address(vite));
    await runs(page);
  } finally {
    vite.kill();
  }
});

test('runs where Vite built it, in any folder', async ({ page, app, server }) => {
  tool(app, 'vite/bin/vite.js', 'build', '--base', './', '--logLevel', 'warn');
  mkdirSync(path.join(app, 'some'));
  cpSync(path.join(app, 'dist'), path.join(app, 'some/where'), { recursive: true });
  await page.goto(`${server.origin}/some/where/`);
  await runs(page);
});

for (const [where, origin] of [
  ['in a plain page', () => ''],
  ['from another site', (server: Server) => server.elsewhere],
] as const) {
  test(`runs ${where}`, async ({ page, server }) => {
    const index = `${origin(server)}/node_modules/webmae/lib/js/index.js`;
    server.add('plain/main.js', { body: main(index), type: 'text/javascript' });
    server.add('plain/', { body: html('main.js'), type: 'text/html' });
    await page.goto(`${server.origin}/plain/`);
    await runs(page);
  });
}

/** Waits until the app shows what it should. */
async function runs(page: Page): Promise<void> {
  await expect(page).toHaveTitle('12 × 12 patches, true', { timeout: 60_000 });
}

function npm(folder: string, ...args: string[]): void {
  execFileSync('npm', [...args, '--silent', '--no-audit', '--no-fund'], { cwd: folder });
}

/** Runs a program of the app's packages. */
function tool(app: string, program: string, ...args: string[]): void {
  const file = path.join('node_modules', program);
  execFileSync(process.execPath, [file, ...args], { cwd: app, stdio: 'inherit' });
}

/** Where a development server says that it is. */
function address({ stdout }: ChildProcess): Promise<string> {
  return new Promise((resolve, reject) => {
    let text = '';
    stdout?.on('data', (chunk) => {
      text += chunk;
      const found = /http:\/\/127\.0\.0\.1:\d+\//.exec(text);
      if (found) resolve(found[0]);
    });
    stdout?.on('end', () => reject(new Error(`Vite did not start: ${text}`)));
  });
}
