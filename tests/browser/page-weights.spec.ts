import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Page } from '@playwright/test';
import { expect, keepScreenshot, openReconstruct, SLOW, settled, test } from './page-fixture.ts';
import { huggingFace } from './support/models.ts';
import { readTensors, writeTensors } from './support/safetensors.ts';

const FILE = 'models/photos-96.safetensors';
const PIECE = 256 * 1024;
const PAUSE_MS = 20;

/** A host of weights elsewhere: other origin, CORS, byte ranges, no hurry. */
async function slowHost(): Promise<{ server: Server; url: string }> {
  const { size } = await stat(FILE);
  const server = createServer((request, response) => {
    response.setHeader('Access-Control-Allow-Origin', '*');
    response.setHeader('Access-Control-Allow-Headers', '*');
    response.setHeader('Access-Control-Expose-Headers', '*');
    if (request.method === 'OPTIONS') return response.writeHead(204).end();
    if (request.url !== '/photos-96.safetensors') return response.writeHead(404).end();
    const begin = Number(/bytes=(\d+)-/.exec(request.headers.range ?? '')?.[1] ?? 0);
    const end = Number(/-(\d+)$/.exec(request.headers.range ?? '')?.[1] ?? size - 1);
    response.writeHead(request.headers.range ? 206 : 200, {
      'Accept-Ranges': 'bytes',
      'Content-Length': end - begin + 1,
      'Content-Range': `bytes ${begin}-${end}/${size}`,
      ETag: '"photos"',
    });
    void (async () => {
      for await (const piece of createReadStream(FILE, {
        start: begin,
        end,
        highWaterMark: PIECE,
      })) {
        response.write(piece);
        await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
      }
      response.end();
    })();
    return undefined;
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    server,
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/photos-96.safetensors`,
  };
}

/** Asks for the weights at `url`. */
async function beginLoading(page: Page, url: string): Promise<void> {
  await openReconstruct(page);
  await page.getByRole('link', { name: 'Weights' }).click();
  await page.getByLabel('Address of a').fill(url);
  await page.getByRole('button', { name: 'Load', exact: true }).click();
}

test('loads weights from an address, with progress, and keeps them', async ({ page }) => {
  const { server, url } = await slowHost();
  try {
    await beginLoading(page, url);
    await expect(page.locator('#weights-bytes')).toHaveText(/\d.*B of \d.* MB/, { timeout: SLOW });
    await expect(page.locator('#weights-info')).toContainText('photos-96.safetensors', {
      timeout: SLOW,
    });
    await expect(page.locator('#weights-info')).toContainText('12 × 12 patches');
    await expect(page.locator('#weights-progress')).toBeHidden();
    await expect(page.locator('#cached')).toContainText('photos-96.safetensors');
    await keepScreenshot(page, 'weights');

    await page.getByRole('link', { name: 'Reconstruct' }).click();
    await settled(page);
    await expect(page.locator('#caption-model')).toContainText('photos-96.safetensors');

    await page.getByRole('link', { name: 'Weights' }).click();
    await page.getByRole('button', { name: 'Remove all' }).click();
    await expect(page.locator('#cached')).toContainText('None yet');
  } finally {
    server.closeAllConnections();
    server.close();
  }
});

test('a download can be cancelled, and the model stays', async ({ page }) => {
  const { server, url } = await slowHost();
  try {
    await beginLoading(page, url);
    await expect(page.locator('#weights-bytes')).toHaveText(/\d.*B of/, { timeout: SLOW });
    await page.getByRole('button', { name: 'Cancel' }).click();
    await expect(page.locator('#weights-progress')).toBeHidden();
    await expect(page.locator('#weights-failure')).toBeHidden();
    await expect(page.locator('#weights-info')).toContainText('shipped');
  } finally {
    server.closeAllConnections();
    server.close();
  }
});

test('an address without weights is refused in a sentence', async ({ page }) => {
  await openReconstruct(page);
  await page.getByRole('link', { name: 'Weights' }).click();
  await page.getByLabel('Address of a').fill(new URL('./mark.svg', page.url()).href);
  await page.getByRole('button', { name: 'Load', exact: true }).click();
  await expect(page.locator('#weights-failure')).toBeVisible({ timeout: SLOW });
  await expect(page.locator('#weights-info')).toContainText('shipped');
});

test('weights without a decoder show attention and say that they cannot reconstruct', async ({
  page,
}) => {
  const { file, config } = huggingFace();
  const { tensors, metadata } = readTensors(file);
  const encoder = new Map([...tensors].filter(([name]) => name.startsWith('vit.')));
  await openReconstruct(page);
  await page.getByRole('link', { name: 'Weights' }).click();
  await page.locator('#weights-input').setInputFiles([
    {
      name: 'encoder.safetensors',
      mimeType: '',
      buffer: Buffer.from(writeTensors({ tensors: encoder, metadata })),
    },
    { name: 'config.json', mimeType: 'application/json', buffer: Buffer.from(config) },
  ]);
  await expect(page.locator('#weights-info')).toContainText('encoder.safetensors', {
    timeout: SLOW,
  });
  await page.getByRole('link', { name: 'Reconstruct' }).click();
  await expect(page.locator('#reconstruct-note')).toContainText('no decoder');
  await page.getByLabel('Attention of a patch').check();
  await expect(page.locator('#attention-legend')).toBeVisible({ timeout: SLOW });

  await page.getByRole('link', { name: 'Weights' }).click();
  await page.getByRole('button', { name: 'Back to the shipped model' }).click();
  await expect(page.locator('#weights-info')).toContainText('shipped', { timeout: SLOW });
  await page.getByRole('link', { name: 'Reconstruct' }).click();
  await settled(page);
  await expect(page.locator('#reconstruct-note')).toBeHidden();
});
