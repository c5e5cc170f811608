import AxeBuilder from '@axe-core/playwright';
import {
  expect,
  hiddenPatches,
  keepScreenshot,
  openReconstruct,
  patchPlace,
  settled,
  test,
} from './page-fixture.ts';

const SECTIONS = ['', '#/train', '#/weights', '#/about'];

test('no section has a serious barrier, in light and dark', async ({ page }) => {
  await openReconstruct(page);
  await page.getByLabel('Error of each hidden patch').check();
  await page.getByLabel('Attention of a patch').check();
  await expect(page.locator('#attention-legend')).toBeVisible();
  for (const colorScheme of ['light', 'dark'] as const) {
    await page.emulateMedia({ colorScheme });
    for (const hash of SECTIONS) {
      await page.evaluate((to) => {
        location.hash = to || '#/';
      }, hash);
      const { violations } = await new AxeBuilder({ page }).analyze();
      const grave = violations.filter(
        ({ impact }) => impact === 'serious' || impact === 'critical',
      );
      expect(grave, `${hash || '#/'} in ${colorScheme}`).toEqual([]);
    }
  }
});

for (const width of [360, 430]) {
  test(`fits a phone of ${width} px`, async ({ page }) => {
    await page.setViewportSize({ width, height: 800 });
    await openReconstruct(page);
    for (const hash of SECTIONS) {
      await page.evaluate((to) => {
        location.hash = to || '#/';
      }, hash);
      await expect
        .poll(() => page.evaluate(() => document.documentElement.scrollWidth - innerWidth))
        .toBeLessThanOrEqual(0);
      if (width === 360) await keepScreenshot(page, `phone-${hash.slice(2) || 'reconstruct'}`);
    }
  });
}

test('is dark where the visitor asks for it', async ({ page }) => {
  await page.emulateMedia({ colorScheme: 'dark' });
  await openReconstruct(page);
  const [red = 255] = await page.evaluate(
    () =>
      getComputedStyle(document.documentElement).backgroundColor.match(/\d+/g)?.map(Number) ?? [],
  );
  expect(red).toBeLessThan(40);
  await keepScreenshot(page, 'reconstruct-dark');
});

test('nothing jumps while it loads', async ({ page }) => {
  await page.addInitScript(() => {
    const shifts: number[] = [];
    Object.assign(window, { shifts });
    new PerformanceObserver((list) => {
      for (const entry of list.getEntries())
        shifts.push((entry as PerformanceEntry & { value: number }).value);
    }).observe({ type: 'layout-shift', buffered: true });
  });
  await openReconstruct(page);
  const shift = await page.evaluate(() =>
    (window as unknown as { shifts: number[] }).shifts.reduce((sum, value) => sum + value, 0),
  );
  expect(shift).toBeLessThan(0.02);
});

test('the keyboard reaches the content and every section', async ({ page }) => {
  await openReconstruct(page);
  await page.keyboard.press('Tab');
  await expect(page.getByRole('link', { name: 'Skip to the content' })).toBeFocused();
  await page.keyboard.press('Enter');
  await page.getByRole('link', { name: 'What it is' }).focus();
  await page.keyboard.press('Enter');
  await expect(page.getByRole('heading', { level: 1 })).toHaveText(
    'Learning to see by filling the gaps.',
  );
  await expect(page.locator('#credits li')).toHaveCount(8);
  await keepScreenshot(page, 'about');
});

test.describe('with a finger', () => {
  test.use({ hasTouch: true, viewport: { width: 390, height: 844 } });

  test('the mask is painted by touch', async ({ page }) => {
    await openReconstruct(page);
    await page.locator('#ratio').fill('0');
    await settled(page);
    await page.locator('#plate-masked').tap({ position: await patchPlace(page, 4, 4) });
    await settled(page);
    expect(await hiddenPatches(page)).toBe(1);
  });
});
