import { expect, keepScreenshot, SLOW, test } from './page-fixture.ts';

test('a GPU is checked case by case, and the check can be stopped', async ({ page, device }) => {
  test.setTimeout(3 * SLOW);
  await page.goto('./#/about');
  const check = page.getByRole('button', { name: 'Only check the kernels' });
  const measure = page.getByRole('button', { name: 'Measure this GPU' });
  if (device !== 'webgpu') {
    await expect(measure).toBeDisabled();
    await expect(check).toBeDisabled();
    await expect(page.locator('#measure-state')).toContainText('WebGPU');
    return;
  }
  await check.click();
  const stop = page.getByRole('button', { name: 'Stop' });
  await expect(stop).toBeFocused();
  await expect(measure).toBeDisabled();
  // The first two of many cases; software takes minutes for all.
  await expect(page.locator('#measure-state')).toContainText(/^3 of \d+: /, { timeout: 2 * SLOW });
  await stop.press('Enter');
  await expect(check).toBeEnabled();
  await expect(page.locator('#check-found')).toContainText(/agree with their twins on .+\./);
  const verdicts = await page.locator('#check-table tbody td:last-child').allTextContents();
  expect(verdicts.length).toBeGreaterThan(20);
  expect(new Set(verdicts)).toEqual(new Set(['agrees']));
  await keepScreenshot(page, 'check');
});
