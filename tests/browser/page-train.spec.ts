import { readFile } from 'node:fs/promises';
import type { Page } from '@playwright/test';
import {
  expect,
  hiddenPatches,
  keepScreenshot,
  lossOf,
  openReconstruct,
  SLOW,
  settled,
  test,
} from './page-fixture.ts';

const step = async (page: Page) =>
  Number((await page.locator('#meter-step').textContent())?.split(' ')[0]?.replaceAll(',', ''));

test('trains, pauses, survives a reload, saves, and serves in Reconstruct', async ({ page }) => {
  test.setTimeout(8 * SLOW);
  await page.goto('./#/train');
  await page.getByLabel('Pictures a step').fill('8');
  await page.getByLabel('Steps', { exact: true }).fill('30');
  await page.getByRole('button', { name: 'Start' }).click();
  await expect(page.locator('#train-state')).toHaveText('Training', { timeout: SLOW });
  await expect(page.locator('#meter-step')).toHaveText('30 of 30', { timeout: 4 * SLOW });
  await expect(page.locator('#train-state')).toHaveText(/^Finished: 30 steps/, { timeout: SLOW });
  await expect(page.getByRole('button', { name: 'Go on' })).toBeDisabled();
  const label = (await page.locator('#loss-plot').getAttribute('aria-label')) ?? '';
  const [first, last] = [...label.matchAll(/\d\.\d+/g)].map(Number);
  expect(last).toBeLessThan(first ?? 0);
  await keepScreenshot(page, 'train');

  await page.getByLabel('More steps').fill('100');
  await page.getByRole('button', { name: 'Train on' }).click();
  await expect(page.locator('#meter-step')).toHaveText(/of 130$/, { timeout: SLOW });
  await expect.poll(() => step(page), { timeout: SLOW }).toBeGreaterThan(32);
  expect(Number(await page.locator('#meter-lr').textContent())).toBeGreaterThan(1e-4);
  await page.getByRole('button', { name: 'Pause' }).click();
  await expect(page.locator('#train-state')).toHaveText('Paused', { timeout: SLOW });
  const paused = await step(page);

  await page.reload();
  await expect(page.locator('#train-saved-text')).toContainText(`step ${paused}`, {
    timeout: SLOW,
  });
  await page.getByRole('button', { name: 'Continue' }).click();
  await expect.poll(() => step(page), { timeout: SLOW }).toBeGreaterThan(paused);
  await page.getByRole('button', { name: 'Pause' }).click();
  await expect(page.locator('#train-state')).toHaveText('Paused', { timeout: SLOW });

  const saved = page.waitForEvent('download');
  await page.getByRole('button', { name: 'Save checkpoint' }).click();
  const checkpoint = await readFile(await (await saved).path());
  expect(checkpoint.length).toBeGreaterThan(1e6);

  const exported = page.waitForEvent('download');
  await page.getByRole('button', { name: 'Export weights' }).click();
  const weights = await readFile(await (await exported).path());
  expect(weights.length).toBeLessThan(checkpoint.length / 3);

  await page.getByRole('button', { name: 'Use in Reconstruct' }).click();
  await expect(page.locator('#caption-model')).toContainText('trained here', { timeout: SLOW });
  await settled(page);
  expect(await hiddenPatches(page)).toBe(48);

  await page.getByRole('link', { name: 'Train' }).click();
  page.once('dialog', (dialog) => void dialog.accept());
  await page.getByRole('button', { name: 'Reset' }).click();
  await expect(page.locator('#train-state')).toHaveText('Not started');
  await page.locator('#train-resume-input').setInputFiles({
    name: 'mine.safetensors',
    mimeType: 'application/octet-stream',
    buffer: checkpoint,
  });
  await expect(page.locator('#train-state')).toHaveText('Paused', { timeout: SLOW });
  expect(await step(page)).toBeGreaterThan(paused);

  await page.getByRole('link', { name: 'Weights' }).click();
  await page.locator('#weights-input').setInputFiles({
    name: 'mine-f16.safetensors',
    mimeType: 'application/octet-stream',
    buffer: weights,
  });
  await expect(page.locator('#weights-info')).toContainText('mine-f16.safetensors', {
    timeout: SLOW,
  });
  await page.getByRole('link', { name: 'Reconstruct' }).click();
  await settled(page);
  expect(await lossOf(page)).toBeGreaterThan(0);
});

test('two tabs keep a run each, and neither is offered while a tab has it', async ({
  page,
  context,
}) => {
  test.setTimeout(4 * SLOW);
  const begin = async (tab: Page, steps: string) => {
    await tab.goto('./#/train');
    await tab.getByLabel('Pictures a step').fill('2');
    await tab.getByLabel('Steps', { exact: true }).fill(steps);
    await tab.getByRole('button', { name: 'Start' }).click();
    await expect(tab.locator('#train-state')).toHaveText(/^Finished/, { timeout: SLOW });
  };
  await begin(page, '3');
  const other = await context.newPage();
  await other.goto('./#/train');
  await expect(other.locator('#train-state')).toHaveText('Not started');
  await expect(other.locator('#train-saved')).toBeHidden();
  await begin(other, '5');
  await other.close();

  await page.reload();
  await expect(page.locator('#train-saved-text')).toContainText('step 5', { timeout: SLOW });
  await expect(page.locator('#train-saved-text')).toContainText('1 more run is kept');
  await page.locator('#train-discard').click();
  await expect(page.locator('#train-saved-text')).toContainText('step 3');
  const late = await context.newPage();
  await late.goto('./#/train');
  await expect(late.locator('#train-saved-text')).toContainText('step 3');
  await page.getByRole('button', { name: 'Open', exact: true }).click();
  await expect(page.locator('#train-state')).toHaveText(/^Finished: 3 steps/, { timeout: SLOW });
  await expect(page.locator('#train-beyond')).toBeVisible();
  await late.getByRole('button', { name: 'Open', exact: true }).click();
  await expect(late.locator('#train-failure')).toContainText('Another tab has this run');
});

test('what stands looks so, says so, and is not lost without a word', async ({ page }) => {
  await page.goto('./#/train');
  await page.getByLabel('Pictures a step').fill('8');
  await page.getByRole('button', { name: 'Start' }).click();
  await expect.poll(() => step(page), { timeout: SLOW }).toBeGreaterThan(3);
  const field = page.getByLabel('Pictures a step');
  await expect(field).toBeDisabled();
  await expect(field).toHaveCSS('border-style', 'dashed');
  await expect(page.locator('#train-hint')).toContainText('Pause to save');
  await expect(page.locator('#train-kept')).toContainText('every 15 seconds');
  await keepScreenshot(page, 'train-running');
  const asked = page.waitForEvent('dialog');
  const leaving = page.goto('about:blank').catch(() => {});
  const dialog = await asked;
  expect(dialog.type()).toBe('beforeunload');
  await dialog.dismiss();
  await leaving;
  await page.getByRole('button', { name: 'Pause' }).click();
  await expect(page.locator('#train-state')).toHaveText('Paused', { timeout: SLOW });
  await expect(page.locator('#train-kept')).toContainText(`up to step ${await step(page)}`);
});

test('bad recipes and files are refused in a sentence', async ({ page }) => {
  await page.goto('./#/train');
  await page.getByLabel('Pictures a step').fill('0');
  await page.getByRole('button', { name: 'Start' }).click();
  await expect(page.locator('#train-failure')).toContainText('Pictures a step');
  await page.getByRole('radio', { name: /Your own/ }).check();
  await page.getByLabel('Pictures a step').fill('8');
  await page.getByRole('button', { name: 'Start' }).click();
  await expect(page.locator('#train-failure')).toContainText('no pictures of your own');
  await page
    .locator('#train-files-input')
    .setInputFiles({ name: 'text.png', mimeType: 'image/png', buffer: Buffer.from('text') });
  await expect(page.locator('#train-failure')).toContainText('None of these files is a picture');
  await page
    .locator('#train-resume-input')
    .setInputFiles({ name: 'bad.safetensors', mimeType: '', buffer: Buffer.from('bad') });
  await expect(page.locator('#train-failure')).not.toContainText('None of these', {
    timeout: SLOW,
  });
  await expect(page.locator('#train-failure')).toBeVisible();
});

test('a model that is not there leaves the old one in use', async ({ page }) => {
  await openReconstruct(page);
  await page.getByRole('link', { name: 'Weights' }).click();
  await page.locator('#weights-input').setInputFiles({
    name: 'bad.safetensors',
    mimeType: '',
    buffer: Buffer.from('this is not a model'),
  });
  await expect(page.locator('#weights-failure')).toBeVisible({ timeout: SLOW });
  await expect(page.locator('#weights-info')).toContainText('shipped');
});
