/** What the check's worker tells the page. */

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

export type Report = { cases: string[]; done: number; verdicts: Verdict[] } | { failure: string };

export function holds({ error, tolerance }: Verdict): boolean {
  return error !== null && error <= tolerance;
}
