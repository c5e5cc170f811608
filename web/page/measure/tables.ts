import { element } from '../dom.ts';
import { duration, rate } from '../format.ts';
import type { Collected } from './collected.ts';
import { holds, type PageReport, type Precision, type Verdict } from './report.ts';
import { type Summary, speed } from './summary.ts';

const PRECISIONS: Precision[] = ['f32', 'f16'];

function row(head: string | Node, ...cells: (string | Node)[]): HTMLTableRowElement {
  const made = cells.map((cell) => element('td', {}, cell));
  return element('tr', {}, element('th', { scope: 'row' }, head), ...made);
}

/** Those that differ come first. */
export function verdictRows(verdicts: Verdict[]): HTMLTableRowElement[] {
  const sorted = verdicts.toSorted((a, b) => Number(holds(a)) - Number(holds(b)));
  return sorted.map((verdict) => {
    const { kernel, variant, launches, error, tolerance, worst } = verdict;
    return row(
      kernel,
      variant,
      String(launches),
      error === null ? 'other value' : error.toExponential(1),
      tolerance.toExponential(1),
      holds(verdict) ? 'agrees' : `differs: ${worst}`,
    );
  });
}

/** The adapter and the machine, as terms with what they are. */
export function facts({ adapter, system, bench, date }: PageReport): HTMLElement[] {
  const { vendor, architecture, description, kind, features, workgroup_memory, max_binding } =
    adapter;
  const [smallest, largest] = adapter.subgroup_sizes ?? [];
  const subgroups = smallest === largest ? `${smallest}` : `${smallest} to ${largest}`;
  const terms: [string, string][] = [
    ['GPU', `${adapter.name}, ${kind}`],
    ['Maker, family', [vendor, architecture].filter(Boolean).join(', ')],
    ['Description', description],
    ['Workgroup memory', `${workgroup_memory / 1024} KiB`],
    ['Largest binding', `${Math.floor(max_binding / 2 ** 20)} MiB`],
    ['Subgroups', adapter.subgroup_sizes ? `${subgroups} wide` : 'the browser does not tell'],
    ['Half precision', features.includes('SHADER_F16') ? 'yes (shader-f16)' : 'no'],
    ['Browser', [system.browser, system.os, system.architecture].filter(Boolean).join(', ')],
    ['webmae', `${bench.webmae}, ${date}`],
  ];
  return terms
    .filter(([, told]) => told !== '')
    .map(([term, told]) => element('div', {}, element('dt', {}, term), element('dd', {}, told)));
}

/** Square products, as those of a training step are in the JSON, and attention in its forms. */
export function productRows({ products }: PageReport): HTMLTableRowElement[] {
  if (!products) return [];
  const square = products.products.filter(({ sizes }) => new Set(sizes).size === 1);
  const rows = square.map(({ operands, layout, timed, measured }) => {
    const used = measured.find((candidate) => candidate.used);
    const next = measured.find((candidate) => !candidate.used);
    const parts = used && used.parts > 1 ? `, sum in ${used.parts}` : '';
    return row(
      `${layout} in ${operands}`,
      timed.join(' × '),
      used ? rate(used.gflops) : '–',
      used ? used.tile + parts : '–',
      next ? `${rate(next.gflops)} with ${next.tile}` : '–',
    );
  });
  const compared = products.attention.filter(({ measured }) => measured.length > 0);
  const attention = compared.map(({ operands, tokens, dim_head, measured }) => {
    const used = measured.find((candidate) => candidate.used);
    const next = measured.find((candidate) => !candidate.used);
    return row(
      `attention in ${operands}`,
      `${tokens} tokens, heads of ${dim_head}`,
      used ? rate(used.gflops) : '–',
      used ? used.form : '–',
      next ? `${rate(next.gflops)} with ${next.form}` : '–',
    );
  });
  return [...rows, ...attention];
}

/** What came out wrong, by its names. */
export function refused({ products }: PageReport): string[] {
  const { wrong = [], wrong_attention = [] } = products ?? {};
  return [...wrong, ...wrong_attention.map((form) => `${form} attention`)];
}

export function workloadRows({ bench }: PageReport): HTMLTableRowElement[] {
  return bench.results.map((result) =>
    row(
      `${result.workload} ${result.mode === 'train' ? 'training step' : 'forward pass'} in ${result.precision}`,
      String(result.batch_size),
      `${duration(result.ms_per_step)} ± ${duration(result.ms_spread)}`,
      images(result.images_per_second),
      rate(result.gflops),
      result.loss === null ? 'not finite' : result.loss.toPrecision(4),
    ),
  );
}

/** The visitor's own first, then what the repository has collected, the fastest first. */
export function comparisonRows(own: Summary | undefined, collected: Collected[]) {
  const fastest = (summary: Summary) => speed(summary, 'train', 'f32')?.images_per_second ?? 0;
  const others = collected.toSorted((a, b) => fastest(b) - fastest(a));
  const rows = others.map((entry) => comparisonRow(entry, entry.source));
  if (own) {
    const first = comparisonRow(own, 'measured here');
    first.className = 'own-row';
    rows.unshift(first);
  }
  return rows;
}

function comparisonRow(summary: Summary, source: string): HTMLTableRowElement {
  const { adapter, kind, driver, date, gemm } = summary;
  const speeds = (mode: 'forward' | 'train') =>
    lines(
      PRECISIONS.map((precision) => {
        const result = speed(summary, mode, precision);
        if (!result) return '';
        const batch = result.batch_size === 64 ? '' : `, batch ${result.batch_size}`;
        return `${images(result.images_per_second)} (${precision}${batch})`;
      }),
    );
  const products = lines(
    gemm.map(({ precision, extent, gflops }) => `${rate(gflops)} (${precision}, ${extent}³)`),
  );
  return row(
    `${adapter}, ${kind}`,
    driver,
    date,
    speeds('forward'),
    speeds('train'),
    products,
    source,
  );
}

/** Texts below each other. */
function lines(texts: string[]): Node {
  const told = texts.filter((text) => text !== '');
  const cell = document.createDocumentFragment();
  if (told.length === 0) cell.append('–');
  told.forEach((text, i) => {
    cell.append(...(i > 0 ? [element('br')] : []), text);
  });
  return cell;
}

function images(persecond: number): string {
  return persecond < 100 ? persecond.toPrecision(3) : persecond.toFixed(0);
}
