import collected from '../../../docs/measurements/results.json';
import type { Gemm, PageReport, Precision, WorkloadResult } from './report.ts';

/** What a report says in short. */
export interface Summary {
  adapter: string;
  kind: string;
  /** Browser and system, or the driver where it was measured natively. */
  driver: string;
  date: string;
  webmae: string;
  gemm: Gemm[];
  results: Pick<
    WorkloadResult,
    'workload' | 'mode' | 'precision' | 'batch_size' | 'images_per_second'
  >[];
}

/** A summary that the repository keeps, and the report that it is of. */
export interface Collected extends Summary {
  source: string;
}

export const COLLECTED = collected as Collected[];

/** Address of the list, as a file. */
export const COLLECTED_URL = new URL('../../../docs/measurements/results.json', import.meta.url)
  .href;

export function summarize({ adapter, system, date, bench }: PageReport): Summary {
  const { os, architecture, browser } = system;
  return {
    adapter: adapter.name,
    kind: adapter.kind,
    driver: [browser, os, architecture].filter(Boolean).join(', '),
    date,
    webmae: bench.webmae,
    gemm: bench.gemm.map(({ precision, extent, gflops }) => ({ precision, extent, gflops })),
    results: bench.results.map(({ workload, mode, precision, batch_size, images_per_second }) => ({
      workload,
      mode,
      precision,
      batch_size,
      images_per_second,
    })),
  };
}

/** Images a second of W1, `undefined` where they were not measured. */
export function speed(
  { results }: Summary,
  mode: WorkloadResult['mode'],
  precision: Precision,
): Summary['results'][number] | undefined {
  return results.find(
    (result) => result.workload === 'W1' && result.mode === mode && result.precision === precision,
  );
}
