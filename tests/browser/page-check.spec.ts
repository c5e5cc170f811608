import { expect, keepScreenshot, SLOW, test } from './page-fixture.ts';

test('a GPU is checked case by case, and the check can be stopped', async ({ page, device }) => {
  test.setTimeout(3 * SLOW);
  await page.goto('./#/about');
  const button = page.locator('#check-start');
  if (device !== 'webgpu') {
    await expect(button).toBeDisabled();
    await expect(page.locator('#check-state')).toContainText('WebGPU');
    return;
  }
  await button.click();
  await expect(button).toHaveText('Stop');
  // The first two of many cases; software takes minutes for all.
  await expect(page.locator('#check-state')).toContainText(/^3 of \d+: /, { timeout: 2 * SLOW });
  await button.click();
  await expect(button).toHaveText('Check this GPU');
  await expect(page.locator('#check-state')).toContainText(/agree with their twins on .+\./);
  const verdicts = await page.locator('#check-table tbody td:last-child').allTextContents();
  expect(verdicts.length).toBeGreaterThan(20);
  expect(new Set(verdicts)).toEqual(new Set(['agrees']));
  await keepScreenshot(page, 'check');
});
