/** What is measured, as `webmae report` has it in its report.json: `Report` of `src/measure/report.rs`. */

export type Precision = 'f32' | 'f16';

/** One variant of a kernel beside its twin: `Verdict` of `src/verify.rs`. */
export interface Verdict {
  kernel: string;
  variant: string;
  launches: number;
  /** The largest difference, of the largest magnitude in the tensor; null where a value is not finite on one side
   * only. */
  error: number | null;
  tolerance: number;
  /** Where it was largest. */
  worst: string;
}

export function holds({ error, tolerance }: Verdict): boolean {
  return error !== null && error <= tolerance;
}

/** A product and every way of dividing it that was timed, the fastest first. */
export interface Product {
  operands: Precision;
  layout: string;
  /** M, N, K. */
  sizes: [number, number, number];
  /** Those of the part of it that was timed. */
  timed: [number, number, number];
  measured: { tile: string; parts: number; gflops: number; used: boolean }[];
}

/** Attention and every form of it that was timed, the fastest first; none where there is but one. */
export interface Attention {
  operands: Precision;
  tokens: number;
  dim_head: number;
  measured: { form: string; gflops: number; used: boolean }[];
}

/** How the products of a device are divided best, and its attention is computed. */
export interface Tuning {
  products: Product[];
  /** Tiles of products that came out wrong. */
  wrong: string[];
  attention: Attention[];
  /** Forms of attention that did. */
  wrong_attention: string[];
}

/** The best square product. */
export interface Gemm {
  precision: Precision;
  extent: number;
  gflops: number;
}

/** A measured step of a workload; the fields that the page shows. */
export interface WorkloadResult {
  workload: string;
  mode: 'forward' | 'train';
  precision: Precision;
  batch_size: number;
  /** Median. */
  ms_per_step: number;
  /** Half the distance between the quartiles. */
  ms_spread: number;
  images_per_second: number;
  gflops: number;
  /** Null where it was not finite. */
  loss: number | null;
}

export interface Adapter {
  name: string;
  kind: string;
  workgroup_memory: number;
  max_binding: number;
  features: string[];
}

/** What the WebAssembly module finds out. */
export interface Report {
  finished: boolean;
  adapter: Adapter;
  verified: { cases: number; agree: number; wrong: Verdict[] } | null;
  products: Tuning | null;
  bench: {
    webmae: string;
    adapter: { name: string; kind: string; driver: string };
    gemm: Gemm[];
    results: WorkloadResult[];
  };
  left_out: string[];
  seconds: number;
}

/** What only the browser knows. */
export interface Here {
  system: { os: string; architecture: string; threads: number; browser: string };
  adapter: {
    name: string;
    vendor: string;
    architecture: string;
    device: string;
    description: string;
    /** The smallest and the largest; null where the browser does not tell. */
    subgroup_sizes: [number, number] | null;
  };
}

/** What `webmae report` writes. */
export interface NativeReport extends Report {
  system: Omit<Here['system'], 'browser'>;
}

/** What a visitor copies. */
export interface PageReport extends Report {
  /** Day of the measurement, as `2026-11-30`. */
  date: string;
  system: Here['system'];
  adapter: Adapter & Here['adapter'];
}

/** A report with what the browser knows of the adapter: WebGPU tells WebAssembly no name. */
export function complete(report: Report, { system, adapter }: Here, date: string): PageReport {
  const { name } = adapter;
  return {
    ...report,
    date,
    system,
    adapter: { ...report.adapter, ...adapter },
    products: report.products && {
      ...report.products,
      adapter: { ...report.adapter, ...adapter },
    },
    bench: { ...report.bench, adapter: { ...report.bench.adapter, name } },
  } as PageReport;
}

/** What is being done: `Now` of `src/measure/measuring.rs`. */
export interface Now {
  station: 'verify' | 'products' | 'workloads';
  what: string;
  done: number;
  all: number;
}

/** What the page asks its worker for. */
export type Task = { task: 'check' } | { task: 'measure'; seconds: number };

/** What the worker tells the page. */
export type Message =
  | { kind: 'checked'; cases: string[]; done: number; verdicts: Verdict[] }
  | { kind: 'now'; now: Now }
  | { kind: 'report'; report: PageReport }
  | { kind: 'failure'; name: string; message: string };
