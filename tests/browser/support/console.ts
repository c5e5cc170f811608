import { expect, type Page } from '@playwright/test';

/** Uses a page whose console must show no error but those that match `allowed`. */
export async function withoutErrors(
  page: Page,
  use: (page: Page) => Promise<void>,
  allowed: RegExp[] = [],
): Promise<void> {
  const errors: string[] = [];
  page.on('console', (message) => message.type() === 'error' && errors.push(message.text()));
  page.on('pageerror', (error) => errors.push(String(error)));
  await use(page);
  const unexpected = errors.filter((text) => !allowed.some((pattern) => pattern.test(text)));
  expect(unexpected, 'the console stays without errors').toEqual([]);
}
