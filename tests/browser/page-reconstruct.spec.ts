import { readFile } from 'node:fs/promises';
import type { Page } from '@playwright/test';
import {
  dropFile,
  dropFiles,
  expect,
  hiddenPatches,
  keepScreenshot,
  lossOf,
  openReconstruct,
  patchPlace,
  pixels,
  settled,
  test,
} from './page-fixture.ts';
import { greyPng } from './png.ts';

const COFFEE = 'web/public/photographs/coffee.webp';

test('the slider answers, and only its last place counts', async ({ page }) => {
  await openReconstruct(page);
  const before = await lossOf(page);
  const slider = page.locator('#ratio');
  await slider.focus();
  for (let i = 0; i < 25; i++) await slider.press('ArrowLeft');
  await expect(page.locator('#headline-ratio')).toHaveText('50%');
  await expect(page.locator('#ratio-patches')).toHaveText('72 of 144 patches');
  await settled(page);
  expect(await lossOf(page)).not.toBe(before);
  await expect(page).toHaveURL(/ratio=0\.5\b/);
});

test('random, block and grid hide different patches; a new mask is another one', async ({
  page,
}) => {
  await openReconstruct(page);
  const masked = page.locator('#plate-masked');
  const seen = new Set([await pixels(masked)]);
  for (const name of ['Block', 'Grid', 'Random']) {
    await page.getByRole('radio', { name }).check();
    await settled(page);
    seen.add(await pixels(masked));
  }
  expect(seen.size).toBe(3);
  await page.getByRole('button', { name: 'New mask' }).click();
  await settled(page);
  seen.add(await pixels(masked));
  expect(seen.size).toBe(4);
  await page.getByRole('button', { name: 'Undo' }).click();
  await settled(page);
  expect(seen).toContain(await pixels(masked));
  await expect(page.locator('#seed')).toHaveValue('3');
});

test('the mask is painted with the mouse', async ({ page }) => {
  await openReconstruct(page);
  const masked = page.locator('#plate-masked');
  await page.getByRole('button', { name: 'Invert' }).click();
  await settled(page);
  expect(await hiddenPatches(page)).toBe(36);
  await page.locator('#ratio').fill('0');
  await settled(page);
  expect(await hiddenPatches(page)).toBe(0);

  const box = await masked.boundingBox();
  const [from, to] = [await patchPlace(page, 2, 1), await patchPlace(page, 2, 10)];
  await page.mouse.move((box?.x ?? 0) + from.x, (box?.y ?? 0) + from.y);
  await page.mouse.down();
  await page.mouse.move((box?.x ?? 0) + to.x, (box?.y ?? 0) + to.y);
  await page.mouse.up();
  await settled(page);
  expect(await hiddenPatches(page)).toBe(10);

  await page.getByRole('radio', { name: '3 × 3' }).check();
  await masked.click({ position: await patchPlace(page, 7, 5) });
  await settled(page);
  expect(await hiddenPatches(page)).toBe(19);
  await masked.click({ position: await patchPlace(page, 7, 5) });
  await settled(page);
  expect(await hiddenPatches(page)).toBe(10);
  await page.keyboard.press('Control+z');
  await settled(page);
  expect(await hiddenPatches(page)).toBe(19);
});

test('the mask is painted with the keyboard, and a screen reader hears it', async ({ page }) => {
  await openReconstruct(page);
  const before = await hiddenPatches(page);
  await page.locator('#seed').focus();
  await page.locator('#plate-masked').focus();
  await page.keyboard.press('ArrowRight');
  await expect(page.locator('#live')).toHaveText(/^Row 1, column 2, (hidden|visible)$/);
  await page.keyboard.press('ArrowDown');
  await page.keyboard.press('Space');
  await expect(page.locator('#live')).toHaveText(/^Row 2, column 2, now (hidden|visible)$/);
  await settled(page);
  expect(Math.abs((await hiddenPatches(page)) - before)).toBe(1);
});

test('hiding every patch is refused in a sentence, and nothing is lost', async ({ page }) => {
  await openReconstruct(page);
  await page.locator('#ratio').fill('0');
  await settled(page);
  const shown = await pixels(page.locator('#plate-reconstruction'));
  await page.getByRole('button', { name: 'Invert' }).click();
  await expect(page.locator('#reconstruct-failure')).toBeVisible();
  expect(await pixels(page.locator('#plate-reconstruction'))).toBe(shown);
  await page.getByRole('button', { name: 'Undo' }).click();
  await settled(page);
  await expect(page.locator('#reconstruct-failure')).toBeHidden();
});

test('takes a dropped and a pasted picture', async ({ page }) => {
  await openReconstruct(page);
  const before = await pixels(page.locator('#plate-original'));
  await dropFile(page, await readFile(COFFEE), 'cup.webp', 'image/webp');
  await expect(page.getByRole('button', { name: 'cup.webp' })).toHaveAttribute(
    'aria-pressed',
    'true',
  );
  await settled(page);
  const dropped = await pixels(page.locator('#plate-original'));
  expect(dropped).not.toBe(before);

  const png = greyPng(64, 64).toString('base64');
  await page.evaluate((base64) => {
    const data = Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
    const clipboardData = new DataTransfer();
    clipboardData.items.add(new File([data], 'grey.png', { type: 'image/png' }));
    dispatchEvent(new ClipboardEvent('paste', { clipboardData, cancelable: true }));
  }, png);
  await expect(page.getByRole('button', { name: 'grey.png' })).toHaveAttribute(
    'aria-pressed',
    'true',
  );
  await settled(page);
  expect(await pixels(page.locator('#plate-original'))).not.toBe(dropped);
});

for (const { name, bytes, says } of [
  { name: 'text.png', bytes: Buffer.from('not a picture'), says: /“text\.png” is not a picture/ },
  { name: 'empty.png', bytes: Buffer.alloc(0), says: /“empty\.png” is empty/ },
  { name: 'huge.png', bytes: greyPng(12_000, 12_000), says: /12,000 × 12,000 pixels/ },
]) {
  test(`refuses ${name} in a sentence and keeps what was there`, async ({ page }) => {
    await openReconstruct(page);
    const before = await pixels(page.locator('#plate-reconstruction'));
    await page.locator('#own-input').setInputFiles({ name, mimeType: 'image/png', buffer: bytes });
    await expect(page.locator('#reconstruct-failure')).toHaveText(says);
    expect(await pixels(page.locator('#plate-reconstruction'))).toBe(before);
    await expect(page.getByRole('button', { name: 'Chelsea the cat' })).toHaveAttribute(
      'aria-pressed',
      'true',
    );
  });
}

test('a link reproduces picture, mask and loss', async ({ page }) => {
  await openReconstruct(page);
  await page.getByRole('button', { name: 'Coffee cup' }).click();
  await page.getByRole('radio', { name: 'Block' }).check();
  await page.locator('#plate-masked').click({ position: await patchPlace(page, 0, 0) });
  await page.locator('#plate-masked').click({ position: await patchPlace(page, 11, 11) });
  await expect(page).toHaveURL(/painted=/);
  await settled(page);
  const [link, masked, loss] = [
    page.url(),
    await pixels(page.locator('#plate-masked')),
    await lossOf(page),
  ];

  const other = await page.context().newPage();
  await other.goto(link);
  await settled(other);
  expect(await pixels(other.locator('#plate-masked'))).toBe(masked);
  expect(await lossOf(other)).toBe(loss);
});

/** A pixel of a plate, in shares of its sides. */
function pixelOf(page: Page, plate: string, x: number, y: number): Promise<number[]> {
  return page.locator(plate).evaluate(
    (canvas, [x, y]) => {
      const { width, height } = canvas as HTMLCanvasElement;
      const context = (canvas as HTMLCanvasElement).getContext('2d') as CanvasRenderingContext2D;
      return Array.from(context.getImageData(x * width, y * height, 1, 1).data);
    },
    [x, y] as const,
  );
}

test('what is transparent stands on white, and a drawing with a viewBox alone is drawn', async ({
  page,
}) => {
  await openReconstruct(page);
  const svg =
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 10 10"><circle cx="5" cy="5" r="4" fill="green"/></svg>';
  await page
    .locator('#own-input')
    .setInputFiles({ name: 'disc.svg', mimeType: 'image/svg+xml', buffer: Buffer.from(svg) });
  await expect(page.locator('#reconstruct-note')).toContainText('transparent parts stand on white');
  await settled(page);
  const close = (pixel: number[], wanted: number[]) =>
    wanted.forEach((value, i) => {
      expect(Math.abs((pixel[i] as number) - value)).toBeLessThan(6);
    });
  close(await pixelOf(page, '#plate-original', 0.5, 0.5), [0, 128, 0]);
  close(await pixelOf(page, '#plate-original', 0.03, 0.03), [255, 255, 255]);
  await keepScreenshot(page, 'reconstruct-transparent');
});

test('a broken JPEG is refused in a sentence', async ({ page }) => {
  await openReconstruct(page);
  const whole = await readFile('tests/fixtures/golden/preprocessing/jpeg_420_exif6.jpg');
  // Its header is whole, so that it has a size, and its pixels are none.
  const broken = Buffer.from(whole);
  broken.fill(0xff, broken.indexOf(Buffer.from([0xff, 0xda])) + 2);
  await page
    .locator('#own-input')
    .setInputFiles({ name: 'broken.jpg', mimeType: 'image/jpeg', buffer: broken });
  await expect(page.locator('#reconstruct-failure')).toHaveText(/^“broken\.jpg” .*\. .*\.$/);
});

test('all of several files are tried, and stay for the next visit', async ({ page }) => {
  await openReconstruct(page);
  await dropFiles(page, [
    { bytes: Buffer.from('text'), name: 'notes.txt', type: 'text/plain' },
    { bytes: await readFile(COFFEE), name: 'cup.webp', type: 'image/webp' },
    { bytes: greyPng(64, 64), name: 'grey.png', type: 'image/png' },
  ]);
  await expect(page.locator('#reconstruct-failure')).toContainText('“notes.txt” is not a picture');
  await expect(page.getByRole('button', { name: 'cup.webp' })).toHaveAttribute(
    'aria-pressed',
    'true',
  );
  await expect(page.getByRole('button', { name: 'grey.png' })).toBeVisible();
  await settled(page);
  const before = await pixels(page.locator('#plate-original'));
  await expect(page).toHaveURL(/picture=own-/);

  await page.reload();
  await settled(page);
  await expect(page.getByRole('button', { name: 'cup.webp' })).toHaveAttribute(
    'aria-pressed',
    'true',
  );
  expect(await pixels(page.locator('#plate-original'))).toBe(before);
  await expect(page.locator('#own-kept')).toContainText('for the next visit');
  await page.getByRole('button', { name: 'Forget them' }).click();
  await expect(page.getByRole('button', { name: 'grey.png' })).toHaveCount(0);
  await page.reload();
  await expect(page.locator('#reconstruct-note')).toContainText('someone’s own picture');
  await expect(page.getByRole('button', { name: 'grey.png' })).toHaveCount(0);
});

test('a pasted address is fetched', async ({ page }) => {
  await openReconstruct(page);
  const paste = (text: string) =>
    page.evaluate((text) => {
      const clipboardData = new DataTransfer();
      clipboardData.setData('text/plain', text);
      dispatchEvent(new ClipboardEvent('paste', { clipboardData, cancelable: true }));
    }, text);
  await page.route('https://example.org/**', (route) =>
    route.request().url().endsWith('grey.png')
      ? route.fulfill({
          body: greyPng(64, 64),
          contentType: 'image/png',
          headers: { 'access-control-allow-origin': '*' },
        })
      : route.fulfill({
          body: 'words',
          contentType: 'text/plain',
          headers: { 'access-control-allow-origin': '*' },
        }),
  );
  await paste('https://example.org/a/grey.png');
  await expect(page.getByRole('button', { name: 'grey.png' })).toHaveAttribute(
    'aria-pressed',
    'true',
  );
  await paste('https://example.org/words.txt');
  await expect(page.locator('#reconstruct-failure')).toContainText('“words.txt” is not a picture');
});

test('a seed that is none is refused where it is seen', async ({ page }) => {
  await openReconstruct(page);
  const masked = await pixels(page.locator('#plate-masked'));
  for (const bad of ['-1', '1.5', '4294967296', '']) {
    await page.locator('#seed').fill(bad);
    await page.locator('#seed').press('Tab');
    await expect(page.locator('#reconstruct-note')).toHaveText(
      'A seed is a whole number from 0 to 4294967295; the mask is still that of 3.',
    );
    await expect(page.locator('#seed')).toHaveAttribute('aria-invalid', 'true');
  }
  await keepScreenshot(page, 'reconstruct-bad-seed');
  expect(await pixels(page.locator('#plate-masked'))).toBe(masked);
  await page.locator('#seed').fill('4294967295');
  await page.locator('#seed').press('Tab');
  await expect(page.locator('#reconstruct-note')).toBeHidden();
  await page.getByRole('button', { name: 'New mask' }).click();
  await expect(page.locator('#seed')).toHaveValue('0');
});

test('captions follow what the plates show', async ({ page }) => {
  await openReconstruct(page);
  const [first, third] = [
    page.locator('#caption-original'),
    page.locator('#caption-reconstruction'),
  ];
  await expect(first).toHaveText('Original');
  await expect(third).toHaveText('Reconstruction');
  await page.getByLabel('Error of each hidden patch').check();
  await expect(third).toHaveText('Reconstruction, error over it');
  await page.getByRole('radio', { name: 'Prediction everywhere' }).check();
  await expect(third).toHaveText('Prediction everywhere, error over it');
  await expect(page.locator('#plate-reconstruction')).toHaveAttribute(
    'aria-label',
    'Prediction everywhere, error over it',
  );
  await page.getByLabel('Attention of a patch').check();
  await expect(first).toHaveText('Original, attention from row 7, column 7');
  await page.getByRole('button', { name: 'From the cls token' }).click();
  await expect(first).toHaveText('Original, attention from the cls token');
  await keepScreenshot(page, 'reconstruct-captions');
  await page.getByLabel('Attention of a patch').uncheck();
  await expect(first).toHaveText('Original');
});
