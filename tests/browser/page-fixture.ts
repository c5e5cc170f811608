import { test as base, expect, type Locator, type Page } from '@playwright/test';
import type { DeviceChoice } from '../../web/package/types.ts';
import { withoutErrors } from './support/console.ts';

/** Generous: the adapter of a machine without a GPU is its processor. */
export const SLOW = 120_000;

/** A page that must not write an error to its console, and that runs on what the project says. */
export const test = base.extend<{ device: DeviceChoice }>({
  device: ['auto', { option: true }],
  page: async ({ page, device }, use) => {
    const goto = page.goto.bind(page);
    page.goto = (address, options) => {
      const query = device === 'auto' ? '' : `?device=${device}`;
      return goto(address.replace(/^\.\//, `./${query}`), options);
    };
    await withoutErrors(page, use);
  },
});

export { expect };

/** Opens Reconstruct and waits for the model's own reconstruction. */
export async function openReconstruct(page: Page, hash = ''): Promise<void> {
  await page.goto(`./${hash}`);
  await settled(page);
}

/** Waits until the plates show what the model made of the state in force. */
export async function settled(page: Page): Promise<void> {
  await expect(page.locator('#caption-time')).toHaveText(/\d (ms|s)/, { timeout: SLOW });
  await expect(page.locator('#plates')).toHaveAttribute('aria-busy', 'false', { timeout: SLOW });
}

/** The number of hidden patches that the page tells. */
export async function hiddenPatches(page: Page): Promise<number> {
  return Number((await page.locator('#ratio-patches').textContent())?.split(' ')[0]);
}

export async function lossOf(page: Page): Promise<number> {
  return Number(await page.locator('#caption-loss').textContent());
}

/** All pixels of a canvas, to compare. */
export function pixels(canvas: Locator): Promise<string> {
  return canvas.evaluate((node) => (node as HTMLCanvasElement).toDataURL());
}

/** The middle of a patch of the masked plate, in pixels of the canvas. */
export async function patchPlace(page: Page, row: number, column: number, rows = 12) {
  const box = await page.locator('#plate-masked').boundingBox();
  if (!box) throw new Error('the masked plate is not on the page');
  return {
    x: ((column + 0.5) * box.width) / rows,
    y: ((row + 0.5) * box.height) / rows,
  };
}

/** Every text that an element will have, for those too short to wait for; to be called before the page opens. */
export async function texts(page: Page, selector: string): Promise<() => Promise<string[]>> {
  await page.addInitScript((selector) => {
    const seen: string[] = [];
    Object.assign(window, { seen });
    addEventListener('DOMContentLoaded', () => {
      const node = document.querySelector(selector) as HTMLElement;
      const note = () => seen.push(node.textContent);
      new MutationObserver(note).observe(node, { childList: true });
    });
  }, selector);
  return () => page.evaluate(() => (window as unknown as { seen: string[] }).seen);
}

/** Checks that texts tell of kernels that are compiled, and that all were. */
export function expectPreparing(texts: string[]): void {
  const counts = texts.flatMap((text) => /^Preparing the GPU, (\d+) of (\d+)$/.exec(text) ?? []);
  expect(counts.length).toBeGreaterThan(0);
  expect(counts.at(-2)).toBe(counts.at(-1));
}

/** Keeps a picture of the page. */
export async function keepScreenshot(page: Page, name: string): Promise<void> {
  await page.evaluate(() => document.fonts.ready);
  await page.screenshot({ path: `target/screenshots/${name}.png`, fullPage: true });
}

/** A file of a test. */
interface TestFile {
  bytes: Buffer;
  name: string;
  type: string;
}

/** Drops a file on the page, as a person would from the file manager. */
export function dropFile(page: Page, bytes: Buffer, name: string, type: string): Promise<void> {
  return dropFiles(page, [{ bytes, name, type }]);
}

/** The same with several. */
export async function dropFiles(page: Page, files: TestFile[]): Promise<void> {
  const transfer = await page.evaluateHandle(
    (files) => {
      const transfer = new DataTransfer();
      for (const { base64, name, type } of files) {
        const data = Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
        transfer.items.add(new File([data], name, { type }));
      }
      return transfer;
    },
    files.map(({ bytes, name, type }) => ({ base64: bytes.toString('base64'), name, type })),
  );
  for (const event of ['dragenter', 'dragover', 'drop']) {
    await page.dispatchEvent('body', event, { dataTransfer: transfer });
  }
}
