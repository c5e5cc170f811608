// What the repository has collected of others' measurements: no browser needed.

import { readdir, readFile } from 'node:fs/promises';
import { expect, test } from '@playwright/test';
import type { Collected } from '../../web/page/measure/collected.ts';
import type { NativeReport, PageReport } from '../../web/page/measure/report.ts';
import { summarize } from '../../web/page/measure/summary.ts';

const FOLDER = 'docs/measurements';

async function json<T>(path: string): Promise<T> {
  return JSON.parse(await readFile(`${FOLDER}/${path}`, 'utf8')) as T;
}

test('every collected result is what its report says', async () => {
  const collected = await json<Collected[]>('results.json');
  expect(collected.length).toBeGreaterThan(0);
  for (const { source, ...summary } of collected) {
    const report = await json<PageReport | NativeReport>(source);
    const [date = ''] = /\d{4}-\d\d-\d\d/.exec(source) ?? [];
    expect(report.finished, source).toBe(true);
    expect(summary, source).toEqual(summarize(report, date));
  }
  const sources = collected.map(({ source }) => source.replace('reports/', ''));
  expect((await readdir(`${FOLDER}/reports`)).sort()).toEqual(sources.sort());
});
