import type { Support } from 'webmae';
import { byId, element } from '../dom.ts';
import { FailureLine } from '../failure.ts';
import { holds, type Report, type Verdict } from './report.ts';

/** "Check this GPU": every kernel beside its twin on the processor. */
export class CheckSection {
  readonly #button = byId<HTMLButtonElement>('check-start');
  readonly #state = byId('check-state');
  readonly #table = byId<HTMLTableElement>('check-table');
  readonly #failure = new FailureLine(byId('check-failure'));
  readonly #adapter: string | undefined;
  #worker: Worker | undefined;

  constructor({ adapter, why }: Support) {
    this.#adapter = adapter?.name;
    this.#button.disabled = !adapter;
    if (!adapter) this.#state.textContent = why;
    this.#button.addEventListener('click', () => (this.#worker ? this.#stop() : this.#start()));
  }

  #start(): void {
    this.#failure.clear();
    this.#state.textContent = 'Loading…';
    this.#button.textContent = 'Stop';
    this.#worker = new Worker(new URL('./worker.ts', import.meta.url), { type: 'module' });
    this.#worker.onmessage = ({ data }: MessageEvent<Report>) => this.#show(data);
    this.#worker.onerror = ({ message }) => this.#show({ failure: message || 'It did not load.' });
  }

  #stop(): void {
    this.#worker?.terminate();
    this.#worker = undefined;
    this.#button.textContent = 'Check this GPU';
  }

  #show(report: Report): void {
    if ('failure' in report) {
      this.#failure.show(report.failure);
      this.#state.textContent = '';
      this.#stop();
      return;
    }
    const { cases, done, verdicts } = report;
    const right = verdicts.filter(holds).length;
    const found = `${right} of ${verdicts.length} variants agree with their twins on ${this.#adapter}.`;
    const now = cases[done];
    this.#state.textContent = now ? `${done + 1} of ${cases.length}: ${now}. ${found}` : found;
    if (verdicts.length > 0) this.#list(verdicts);
    if (!now) this.#stop();
  }

  /** Those that differ come first. */
  #list(verdicts: Verdict[]): void {
    const rows = verdicts.toSorted((a, b) => Number(holds(a)) - Number(holds(b)));
    this.#table.hidden = false;
    this.#table.tBodies[0]?.replaceChildren(...rows.map(row));
  }
}

function row(verdict: Verdict): HTMLElement {
  const { kernel, variant, launches, error, tolerance, worst } = verdict;
  const cells = [
    variant,
    String(launches),
    error === null ? 'other value' : error.toExponential(1),
    tolerance.toExponential(1),
    holds(verdict) ? 'agrees' : `differs: ${worst}`,
  ];
  const head = element('th', { scope: 'row' }, kernel);
  return element('tr', {}, head, ...cells.map((cell) => element('td', {}, cell)));
}
