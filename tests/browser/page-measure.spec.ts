import { readFile } from 'node:fs/promises';
import type { Page } from '@playwright/test';
import type { PageReport } from '../../web/page/measure/report.ts';
import { expect, SLOW, test } from './page-fixture.ts';

declare global {
  /** In a worker: the last device that was opened there. */
  var opened: GPUDevice;
}

/** Lets a test lose the devices of workers that begin after this. */
async function rememberDevices(page: Page): Promise<void> {
  const remember = `
    const { requestDevice } = GPUAdapter.prototype;
    GPUAdapter.prototype.requestDevice = async function (...options) {
      return (globalThis.opened = await requestDevice.apply(this, options));
    };`;
  await page.route(/worker-[^/]*\.js$/, async (route) => {
    const response = await route.fetch();
    await route.fulfill({ response, body: `${await response.text()}\n${remember}` });
  });
}

async function downloaded(page: Page): Promise<{ name: string; report: PageReport }> {
  const download = page.waitForEvent('download');
  await page.getByRole('button', { name: 'Download JSON' }).click();
  const file = await download;
  const report = JSON.parse(await readFile(await file.path(), 'utf8')) as PageReport;
  return { name: file.suggestedFilename(), report };
}

test('a GPU is measured; what was found is kept when the GPU is lost, and when one stops', async ({
  page,
  context,
}) => {
  test.setTimeout(3 * SLOW);
  await context.grantPermissions(['clipboard-read', 'clipboard-write']);
  await rememberDevices(page);
  await page.goto('./#/about');
  const measure = page.getByRole('button', { name: 'Measure this GPU' });
  const state = page.locator('#measure-state');
  await expect(measure).toBeEnabled();
  await measure.click();
  await expect(state).toContainText(/^1 of 3, .+\(2 of \d+\)$/, { timeout: SLOW });
  await expect(page.locator('#measure-left')).toContainText(/^at most \d:\d\d more$/);
  await expect(page.locator('#measure-facts')).toContainText('Half precision');
  await expect(page.locator('#measure-verified')).toContainText(/in [1-9]\d* cases/);

  // The package has a worker, too, and had it before.
  await page
    .workers()
    .at(-1)
    ?.evaluate(() => globalThis.opened.destroy());
  const failure = page.locator('#measure-failure');
  await expect(failure).toHaveText(/^The GPU went away.+ What was measured before stays below\./);
  await expect(measure).toBeEnabled();
  const { name, report } = await downloaded(page);
  expect(name).toMatch(/^webmae-[a-z0-9-]+-\d{4}-\d\d-\d\d\.json$/);
  expect(report).toMatchObject({ finished: false, bench: { results: [] } });
  expect(report.adapter.name).not.toBe('');
  expect(report.system.browser).toMatch(/Chrom/);
  expect(report.verified?.cases).toBeGreaterThan(0);
  expect(report.verified?.wrong).toEqual([]);
  await page.getByRole('button', { name: 'Copy JSON' }).click();
  await expect(page.getByRole('button', { name: 'Copied' })).toBeVisible();
  const copied = await page.evaluate(() => navigator.clipboard.readText());
  expect(JSON.parse(copied)).toEqual(report);

  // The visitor's own row comes first.
  const own = page.locator('#measure-compare tbody tr').first();
  await expect(own).toContainText('measured here');
  await expect(own).toContainText(report.adapter.name);

  await measure.click();
  await expect(failure).toBeHidden();
  await expect(state).toContainText(/^1 of 3, .+\(1 of \d+\)$/, { timeout: SLOW });
  await page.getByRole('button', { name: 'Stop' }).click();
  await expect(state).toHaveText('Stopped.');
  await expect(measure).toBeFocused();
  expect((await downloaded(page)).report).toMatchObject({ finished: false, verified: null });
});
