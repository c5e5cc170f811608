import { cache, type LoadOptions, type ModelInfo, type Progress, type Support } from 'webmae';
import { byId, element, onFiles } from '../dom.ts';
import { FailureLine, PageError } from '../failure.ts';
import { bytes, count } from '../format.ts';
import { loadModel, onModelChange } from '../model.ts';

const EXAMPLE = 'https://huggingface.co/facebook/vit-mae-base/resolve/main/model.safetensors';
const STAGES: Partial<Record<Progress['stage'], string>> = {
  download: 'Downloading',
  weights: 'Copying to the device',
  kernels: 'Preparing the GPU',
};

/** The section Load weights. */
export class WeightsSection {
  readonly #failure = new FailureLine(byId('weights-failure'), asOnPage);
  readonly #form = byId<HTMLFormElement>('weights-form');
  readonly #url = byId<HTMLInputElement>('weights-url');
  readonly #bar = byId<HTMLProgressElement>('weights-bar');
  #loading: AbortController | undefined;

  constructor(support: Support) {
    this.#form.addEventListener('submit', (event) => {
      event.preventDefault();
      const address = this.#url.value.trim();
      void this.#load(address, fileName(address));
    });
    byId('weights-example').addEventListener('click', () => {
      this.#url.value = EXAMPLE;
      this.#url.focus();
    });
    onFiles('weights-file', 'weights-input', (files) => void this.take(files));
    byId('weights-tiny').addEventListener('click', () => void this.#load('tiny', 'shipped'));
    byId('weights-cancel').addEventListener('click', () => this.#loading?.abort());
    byId('cached-clear').addEventListener('click', () => void this.#clear());
    onModelChange(({ mae, name }) => showInfo(mae.info, name));
    for (const button of this.#form.querySelectorAll('button')) button.disabled = !support.device;
    byId<HTMLButtonElement>('weights-file').disabled = !support.device;
    byId<HTMLButtonElement>('weights-tiny').disabled = !support.device;
    void this.#showCached();
  }

  /** Loads a visitor's file, with the `config.json` chosen beside it. */
  async take(files: File[]): Promise<void> {
    const config = files.find(({ name }) => name.endsWith('.json'));
    const weights = files.find((file) => file !== config);
    if (!weights) {
      this.#failure.show(new PageError('That is no weights file. Choose a .safetensors file.'));
      return;
    }
    const options = config ? { hfConfig: await config.text() } : {};
    await this.#load(weights, weights.name, options);
  }

  /** Puts an address into the form. */
  takeAddress(address: string): void {
    this.#url.value = address;
    this.#url.focus();
  }

  /** Lists the downloads that are kept. */
  async #showCached(): Promise<void> {
    const kept = await cache.list();
    byId('cached-clear').hidden = kept.length === 0;
    byId('cached').replaceChildren(
      ...(kept.length === 0 ? [element('li', { className: 'hint' }, 'None yet.')] : []),
      ...kept.map(({ url, bytes: size, complete }) => {
        const remove = element('button', { type: 'button' }, 'Remove');
        remove.setAttribute('aria-label', `Remove ${fileName(url)}`);
        remove.addEventListener(
          'click',
          () => void cache.delete(url).then(() => this.#showCached()),
        );
        const load = element('button', { type: 'button' }, complete ? 'Load' : 'Go on');
        load.setAttribute('aria-label', `Load ${fileName(url)}`);
        load.addEventListener('click', () => void this.#load(url, fileName(url)));
        const state = `${bytes(size)}${complete ? '' : ', not complete'}`;
        return element(
          'li',
          {},
          element('span', { title: url }, shortened(url)),
          ` ${state} `,
          load,
          remove,
        );
      }),
    );
  }

  async #load(source: string | Blob, name: string, options: LoadOptions = {}): Promise<void> {
    this.#loading?.abort();
    const loading = new AbortController();
    this.#loading = loading;
    this.#progress({ stage: 'download', done: 0 });
    await this.#failure.guard(async () => {
      await loadModel(source, name, {
        ...options,
        signal: loading.signal,
        onProgress: (progress) => this.#progress(progress),
      });
    });
    if (this.#loading !== loading) return;
    this.#loading = undefined;
    byId('weights-progress').hidden = true;
    await this.#showCached();
  }

  #progress({ stage, done, total }: Progress): void {
    byId('weights-progress').hidden = false;
    byId('weights-stage').textContent = STAGES[stage] ?? 'Loading';
    if (total) this.#bar.value = done / total;
    else this.#bar.removeAttribute('value');
    const amount = stage === 'kernels' ? count : bytes;
    byId('weights-bytes').textContent = `${amount(done)}${total ? ` of ${amount(total)}` : ''}`;
  }

  async #clear(): Promise<void> {
    await cache.clear();
    await this.#showCached();
  }
}

function showInfo({ config, grid, reconstructs, weights }: ModelInfo, name: string): void {
  const { encoder, decoder } = config;
  const facts: [string, string][] = [
    ['Name', name],
    ['Format', weights.format],
    ['Holds', weights.description],
    ['Parameters', count(weights.parameters)],
    ['File', bytes(weights.bytes)],
    [
      'Pictures',
      `${config.image_size[1]} × ${config.image_size[0]} px, ${grid[1]} × ${grid[0]} patches`,
    ],
    ['Encoder', `${encoder.depth} blocks of ${encoder.dim}, ${encoder.heads} heads`],
    [
      'Decoder',
      reconstructs ? `${decoder.depth} blocks of ${decoder.dim}, ${decoder.heads} heads` : 'none',
    ],
    ['Targets', config.norm_pix_loss ? 'normalised patches' : 'pixels'],
  ];
  if (weights.step !== undefined) facts.push(['Trained', `${count(weights.step)} steps`]);
  byId('weights-info').replaceChildren(
    ...facts.map(([term, fact]) =>
      element('div', {}, element('dt', {}, term), element('dd', {}, fact)),
    ),
  );
}

/** An error that names the file in the place of the option. */
function asOnPage(error: unknown): unknown {
  if (!(error instanceof Error) || !error.message.startsWith('hfConfig')) return error;
  return new Error(error.message.replace('hfConfig', 'config.json'));
}

function fileName(url: string): string {
  const parts = url.split('?')[0]?.split('/').filter(Boolean) ?? [];
  return parts.at(-1) ?? url;
}

function shortened(url: string): string {
  return url.replace(/^https?:\/\//, '');
}
