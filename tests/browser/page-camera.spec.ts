import { args, executablePath } from '../../web/build/chromium.mjs';
import { expect, openReconstruct, pixels, SLOW, settled, test } from './page-fixture.ts';

test.use({
  permissions: ['camera'],
  launchOptions: {
    executablePath: executablePath(),
    args: [...args('none'), '--use-fake-device-for-media-stream', '--use-fake-ui-for-media-stream'],
  },
});

test('takes a picture with the camera and switches it off', async ({ page }) => {
  await openReconstruct(page);
  const before = await pixels(page.locator('#plate-original'));
  await page.getByRole('button', { name: 'Camera', exact: true }).click();
  await expect(page.locator('#camera-video')).toBeVisible();
  await page.getByRole('button', { name: 'Take the picture' }).click();
  await expect(page.locator('#camera')).toBeHidden();
  await expect(page.getByRole('button', { name: 'From the camera' })).toHaveAttribute(
    'aria-pressed',
    'true',
  );
  await settled(page);
  expect(await pixels(page.locator('#plate-original'))).not.toBe(before);
  expect(
    await page.locator('#camera-video').evaluate((video) => (video as HTMLVideoElement).srcObject),
  ).toBeNull();
});

test('learns from the camera', async ({ page }) => {
  await page.goto('./#/train');
  await page.getByRole('button', { name: 'Camera', exact: true }).click();
  await expect(page.locator('#own-count')).toHaveText(/^[3-9] pictures/);
  await page.getByRole('button', { name: 'Stop the camera' }).click();
  await page.getByLabel('Pictures a step').fill('2');
  await page.getByRole('button', { name: 'Step', exact: true }).click();
  await expect(page.locator('#meter-step')).toHaveText(/^1 of/, { timeout: SLOW });
});
