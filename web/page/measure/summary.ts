import type { Gemm, NativeReport, PageReport, Precision, WorkloadResult } from './report.ts';

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

/** The summary of a report of the page, or of `webmae report`, of this `date`. */
export function summarize(
  { adapter, system, bench }: PageReport | NativeReport,
  date: string,
): Summary {
  const { os, architecture } = system;
  const driver = 'browser' in system ? system.browser : bench.adapter.driver;
  return {
    adapter: adapter.name,
    kind: adapter.kind,
    driver: [driver, os, architecture].filter(Boolean).join(', '),
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
