import config from '../../playwright.config.ts';
import { expect, keepScreenshot, test } from './page-fixture.ts';

const { executablePath = '' } = config.use?.launchOptions ?? {};

test.use({
  launchOptions: {
    executablePath,
    args: ['--no-sandbox', '--disable-features=WebGPU,WebGPUService', '--disable-gpu'],
  },
});

test('without WebGPU it says what to do and shows prepared pictures', async ({ page }) => {
  await page.goto('./');
  await expect(page.locator('#unsupported')).toBeVisible();
  await expect(page.locator('#unsupported-reason')).not.toBeEmpty();
  await expect(page.locator('#unsupported-advice')).not.toBeEmpty();
  await expect(page.locator('#caption-time')).toHaveText('prepared');
  await expect(page.locator('#ratio-patches')).toHaveText('108 of 144 patches');
  await page.locator('#ratio').fill('0.9');
  await expect(page.locator('#ratio-patches')).toHaveText('130 of 144 patches');
  await page.getByRole('button', { name: 'Coffee cup' }).click();
  await expect(page.getByRole('button', { name: 'Coffee cup' })).toHaveAttribute(
    'aria-pressed',
    'true',
  );
  await keepScreenshot(page, 'without-webgpu');
  await page.getByRole('link', { name: 'What it is' }).click();
  await expect(page.locator('#about-figure canvas')).toHaveCount(3);
});
