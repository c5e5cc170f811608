// What of the page depends on the device: run on the processor and on WebGPU.

import { readFile } from 'node:fs/promises';
import {
  expect,
  expectPreparing,
  hiddenPatches,
  keepScreenshot,
  lossOf,
  openReconstruct,
  pixels,
  SLOW,
  settled,
  test,
  texts,
} from './page-fixture.ts';

test('opens with a reconstruction of a shipped photograph', async ({ page, device }) => {
  const progress = await texts(page, '#model-progress span');
  await openReconstruct(page);
  if (device === 'webgpu') expectPreparing(await progress());
  expect(await lossOf(page)).toBeGreaterThan(0);
  expect(await hiddenPatches(page)).toBe(108);
  await expect(page.locator('#caption-model')).toContainText('96 × 96');
  await expect(page.locator('#caption-device')).not.toHaveText('…');

  await page.getByRole('button', { name: 'New mask' }).click();
  await settled(page);
  await page.getByRole('button', { name: 'Undo' }).click();
  await settled(page);
  await keepScreenshot(page, 'reconstruct');
});

test('shows errors and attention, and gives the plates as a PNG', async ({ page }) => {
  await openReconstruct(page);
  const [third, original] = [
    page.locator('#plate-reconstruction'),
    page.locator('#plate-original'),
  ];
  const plain = [await pixels(third), await pixels(original)];
  await page.getByLabel('Error of each hidden patch').check();
  await expect(page.locator('#error-legend')).toBeVisible();
  expect(await pixels(third)).not.toBe(plain[0]);

  await page.getByLabel('Attention of a patch').check();
  await expect(page.locator('#attention-legend')).toBeVisible();
  const middle = await pixels(original);
  expect(middle).not.toBe(plain[1]);
  await original.click({ position: { x: 12, y: 12 } });
  expect(await pixels(original)).not.toBe(middle);
  await page.getByLabel('Head').selectOption('0');
  await keepScreenshot(page, 'reconstruct-closer');

  const download = page.waitForEvent('download');
  await page.getByRole('button', { name: 'Download PNG' }).click();
  const path = await (await download).path();
  const png = await readFile(path);
  expect(png.subarray(1, 4).toString()).toBe('PNG');
  expect(png.readUInt32BE(16)).toBeGreaterThan(1900);
});

test('learns from own files', async ({ page, device }) => {
  test.setTimeout(2 * SLOW);
  const states = await texts(page, '#train-state');
  await page.goto('./#/train');
  await page
    .locator('#train-files-input')
    .setInputFiles(
      ['chelsea', 'coffee', 'brick'].map((name) => `web/public/photographs/${name}.webp`),
    );
  await expect(page.locator('#own-count')).toHaveText('3 pictures');
  await page.getByLabel('Pictures a step').fill('4');
  await page.getByRole('button', { name: 'Step' }).click();
  await expect(page.locator('#meter-step')).toHaveText(/^1 of/, { timeout: SLOW });
  if (device === 'webgpu') expectPreparing(await states());
});
