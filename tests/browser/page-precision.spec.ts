import { expect, keepScreenshot, SLOW, test } from './page-fixture.ts';

test('half precision is offered where the adapter has it, and else says why not', async ({
  page,
}) => {
  const f16 = page.getByRole('checkbox', { name: /f16/ });
  await page.goto('./#/train');
  await page.getByText('More', { exact: true }).click();
  await expect(f16).toBeDisabled();
  await expect(f16).toHaveAccessibleDescription(/shader-f16/);
  await keepScreenshot(page, 'train-recipe');

  // Only the page is made to believe it: what comes back shows that the option reached the package.
  await page.addInitScript(() => {
    Object.defineProperty(GPUAdapter.prototype, 'features', {
      get: () => new Set(['shader-f16']),
    });
  });
  await page.reload();
  await page.getByText('More', { exact: true }).click();
  await f16.check();
  await page.getByRole('button', { name: 'Step' }).click();
  await expect(page.locator('#train-failure')).toContainText('f16 needs', { timeout: SLOW });
  await expect(f16).toBeEnabled();
});
