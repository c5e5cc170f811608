import type { Support } from 'webmae';
import { announce, byId, saveFile } from '../dom.ts';
import { FailureLine } from '../failure.ts';
import { clock } from '../format.ts';
import { COLLECTED, COLLECTED_URL } from './collected.ts';
import { holds, type Message, type Now, type PageReport, type Task } from './report.ts';
import { summarize } from './summary.ts';
import {
  comparisonRows,
  facts,
  productRows,
  refused,
  verdictRows,
  workloadRows,
} from './tables.ts';

/** How long a measurement takes at most, about. */
const SECONDS = 300;
const STATIONS: Now['station'][] = ['verify', 'products', 'workloads'];
const NAMES: Record<Now['station'], string> = {
  verify: 'kernels beside their twins',
  products: 'matrix products',
  workloads: 'training and forward passes',
};

/** "Measure this GPU": whether its kernels are right, and how fast it is. */
export class MeasureSection {
  readonly #measure = byId<HTMLButtonElement>('measure-start');
  readonly #check = byId<HTMLButtonElement>('check-start');
  readonly #stop = byId<HTMLButtonElement>('measure-stop');
  readonly #state = byId('measure-state');
  readonly #left = byId('measure-left');
  readonly #progress = byId<HTMLProgressElement>('measure-progress');
  readonly #failure = new FailureLine(byId('measure-failure'));
  readonly #adapter: string | undefined;
  #run: Run | undefined;
  #report: PageReport | undefined;

  constructor({ adapter, why }: Support) {
    this.#adapter = adapter?.name;
    if (!adapter) this.#state.textContent = why;
    this.#measure.addEventListener('click', () =>
      this.#start({ task: 'measure', seconds: SECONDS }),
    );
    this.#check.addEventListener('click', () => this.#start({ task: 'check' }));
    this.#stop.addEventListener('click', () => this.#end('Stopped.'));
    byId('measure-copy').addEventListener('click', () => void this.#copy());
    byId('measure-download').addEventListener('click', () => this.#download());
    byId<HTMLAnchorElement>('measure-others').href = COLLECTED_URL;
    this.#compare();
    this.#showButtons();
  }

  #start(task: Task): void {
    this.#failure.clear();
    if (task.task === 'measure') this.#report = undefined;
    byId('measure-results').hidden = true;
    byId('check-results').hidden = true;
    this.#say('Loading');
    this.#run = new Run(task, {
      heard: (message) => this.#hear(message),
      ticked: (left) => {
        this.#left.textContent = left;
      },
    });
    this.#showButtons();
    // The button that was pressed cannot keep the focus.
    this.#stop.focus();
  }

  /** Ends what is running; what was found stays. */
  #end(state: string): void {
    const focused = document.activeElement === this.#stop;
    this.#run?.end();
    this.#run = undefined;
    this.#say(state);
    this.#left.textContent = '';
    this.#showButtons();
    if (focused) this.#measure.focus();
  }

  #hear(message: Message): void {
    switch (message.kind) {
      case 'now':
        this.#showNow(message.now);
        break;
      case 'report':
        this.#show(message.report);
        break;
      case 'checked':
        this.#showChecked(message);
        break;
      case 'failure':
        this.#failure.show(this.#worded(message));
        this.#end('');
    }
  }

  #showNow({ station, what, done, all }: Now): void {
    const number = STATIONS.indexOf(station) + 1;
    const stage = `${number} of ${STATIONS.length}, ${NAMES[station]}`;
    this.#say(stage, `${stage}: ${what}${all > 1 ? ` (${done + 1} of ${all})` : ''}`);
  }

  #show(report: PageReport): void {
    this.#report = report;
    const { verified, left_out, finished } = report;
    byId('measure-results').hidden = false;
    byId('measure-facts').replaceChildren(...facts(report));
    byId('measure-verified').textContent = verified
      ? `${verified.agree} of ${verified.agree + verified.wrong.length} variants of kernels agree with their twins, in ${verified.cases} cases.`
      : '';
    fill('measure-wrong', verdictRows(verified?.wrong ?? []));
    fill('measure-products', productRows(report));
    const wrong = byId('measure-refused');
    const names = refused(report);
    wrong.hidden = names.length === 0;
    wrong.textContent = `Not used, as their results came out wrong: ${names.join(', ')}.`;
    fill('measure-workloads', workloadRows(report));
    const out = byId('measure-left-out');
    out.hidden = left_out.length === 0;
    out.textContent = `Left out: ${left_out.join('; ')}.`;
    this.#compare();
    if (finished) this.#end(`Done on ${this.#adapter} in ${clock(1000 * report.seconds)}.`);
  }

  #showChecked({ cases, done, verdicts }: Message & { kind: 'checked' }): void {
    const right = verdicts.filter(holds).length;
    const found = `${right} of ${verdicts.length} variants agree with their twins on ${this.#adapter}.`;
    const now = cases[done];
    byId('check-results').hidden = verdicts.length === 0;
    byId('check-found').textContent = found;
    fill('check-table', verdictRows(verdicts));
    if (now === undefined) this.#end(`Done: ${found}`);
    else this.#say('Checking', `${done + 1} of ${cases.length}: ${now}`);
  }

  /** Shows what is being done; a screen reader is told in short, and only of what is new. */
  #said = '';
  #say(short: string, long = short): void {
    this.#state.textContent = long;
    if (short !== this.#said) announce(short);
    this.#said = short;
  }

  #showButtons(): void {
    const running = this.#run !== undefined;
    this.#measure.disabled = running || this.#adapter === undefined;
    this.#check.disabled = this.#measure.disabled;
    this.#stop.hidden = !running;
    this.#progress.hidden = !running;
  }

  #compare(): void {
    const own = this.#report && summarize(this.#report, this.#report.date);
    fill('measure-compare', comparisonRows(own, COLLECTED));
  }

  /** What went wrong, in a sentence. */
  #worded({ name, message }: Message & { kind: 'failure' }): string {
    const kept = this.#report ? ' What was measured before stays below.' : '';
    switch (name) {
      case 'DeviceLost':
        return `The GPU went away: its driver was reset, or the system took it.${kept} Try again.`;
      case 'OutOfMemory':
        return `The GPU has too little memory left for this; close what else uses it, and try again.${kept}`;
      default:
        return `${message}${kept}`;
    }
  }

  #json(): string {
    return `${JSON.stringify(this.#report, undefined, 2)}\n`;
  }

  async #copy(): Promise<void> {
    const copied = await this.#failure.guard(() => navigator.clipboard.writeText(this.#json()));
    if (copied) announce('Copied');
    const button = byId('measure-copy');
    button.textContent = copied ? 'Copied' : 'Copy JSON';
    setTimeout(() => {
      button.textContent = 'Copy JSON';
    }, 2000);
  }

  #download(): void {
    if (!this.#report) return;
    const { adapter, date } = this.#report;
    const name = adapter.name.toLowerCase().replace(/[^a-z0-9]+/g, '-');
    const plain = name.replace(/^-|-$/g, '');
    const blob = new Blob([this.#json()], { type: 'application/json' });
    saveFile(blob, `webmae-${plain}-${date}.json`);
  }
}

function fill(id: string, rows: HTMLTableRowElement[]): void {
  const table = byId<HTMLTableElement>(id);
  table.hidden = rows.length === 0;
  table.tBodies[0]?.replaceChildren(...rows);
}

/** A worker at a task. */
class Run {
  readonly #worker = new Worker(new URL('./worker.ts', import.meta.url), { type: 'module' });
  readonly #clock: number;

  /** `heard` gets what the worker tells, `ticked` every second how much longer it may take. */
  constructor(
    task: Task,
    { heard, ticked }: { heard: (message: Message) => void; ticked: (left: string) => void },
  ) {
    const progress = byId<HTMLProgressElement>('measure-progress');
    progress.removeAttribute('value');
    this.#worker.onmessage = ({ data }: MessageEvent<Message>) => heard(data);
    this.#worker.onerror = ({ message }) =>
      heard({ kind: 'failure', name: 'Error', message: message || 'It did not load.' });
    this.#worker.postMessage(task);
    const began = performance.now();
    const tick = () => {
      if (task.task === 'check') return;
      const left = 1000 * task.seconds - (performance.now() - began);
      progress.value = Math.min(1 - left / (1000 * task.seconds), 1);
      ticked(left > 0 ? `at most ${clock(left)} more` : 'takes longer than planned');
    };
    this.#clock = window.setInterval(tick, 1000);
  }

  end(): void {
    clearInterval(this.#clock);
    this.#worker.terminate();
  }
}
