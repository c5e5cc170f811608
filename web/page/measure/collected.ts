import collected from '../../../docs/measurements/results.json';
import type { Summary } from './summary.ts';

/** A summary that the repository keeps, and the report that it is of. */
export interface Collected extends Summary {
  source: string;
}

export const COLLECTED = collected as Collected[];

/** Address of the list, as a file. */
export const COLLECTED_URL = new URL('../../../docs/measurements/results.json', import.meta.url)
  .href;
