import type { Attention, ModelInfo } from 'webmae';
import { announce, byId, element } from '../dom.ts';
import type { FailureLine } from '../failure.ts';
import { Latest } from '../latest.ts';
import { withModel } from '../model.ts';
import type { Picture } from '../pictures.ts';
import { HeatLegend } from './heat.ts';
import { PatchPointer } from './patch-pointer.ts';
import type { Grid, Plate, PlateContent } from './plate.ts';

/** The query: a patch, or the cls token. */
type Query = number | 'cls';

/** Where a chosen patch of the original looks, in one block of the encoder. */
export class AttentionView {
  readonly #plate: Plate;
  readonly #failure: FailureLine;
  readonly #shown = byId<HTMLInputElement>('show-attention');
  readonly #block = byId<HTMLSelectElement>('attention-block');
  readonly #head = byId<HTMLSelectElement>('attention-head');
  readonly #cls = byId<HTMLButtonElement>('attention-cls');
  readonly #legend = new HeatLegend('attention-legend');
  readonly #pointer: PatchPointer;
  readonly #latest = new Latest<void>(() => this.#run());
  #picture: Picture | undefined;
  #original: PlateContent | undefined;
  #cursor: number | undefined;
  #grid: Grid = [1, 1];
  #query: Query | undefined;
  #attention: Attention | undefined;

  constructor(plate: Plate, failure: FailureLine) {
    this.#plate = plate;
    this.#failure = failure;
    this.#pointer = new PatchPointer(plate.canvas, () => this.#grid, {
      press: (patch) => this.#ask(patch),
      drag: (patches) => this.#ask(patches.at(-1)),
      move: (patch) => {
        this.#cursor = patch;
        this.#draw();
      },
    });
    this.#pointer.enabled = false;
    this.#shown.addEventListener('change', () => this.#toggle());
    this.#block.addEventListener('change', () => this.#forget());
    this.#head.addEventListener('change', () => this.#draw());
    this.#cls.addEventListener('click', () => this.#ask('cls'));
  }

  /** Another model: other blocks and heads. */
  showModel({ config, grid }: ModelInfo): void {
    this.#grid = grid;
    const { depth, heads } = config.encoder;
    this.#block.replaceChildren(...options(depth, (i) => `${i + 1} of ${depth}`));
    this.#block.value = String(depth - 1);
    this.#head.replaceChildren(
      element('option', { value: 'mean' }, 'mean of all'),
      ...options(heads, (i) => `${i + 1} of ${heads}`),
    );
    if (typeof this.#query === 'number' && this.#query >= grid[0] * grid[1])
      this.#query = undefined;
    this.#forget();
  }

  /** Draws the picture as the model sees it, with the attention over it where that is asked for. */
  showOriginal(original: PlateContent): void {
    this.#original = original;
    this.#draw();
  }

  /** Another picture. */
  showPicture(picture: Picture): void {
    if (picture === this.#picture) return;
    this.#picture = picture;
    this.#forget();
  }

  #toggle(): void {
    const on = this.#shown.checked;
    byId('attention-controls').hidden = !on;
    this.#pointer.enabled = on;
    this.#plate.canvas.tabIndex = on ? 0 : -1;
    this.#plate.canvas.setAttribute('role', on ? 'application' : 'img');
    this.#plate.canvas.classList.toggle('pickable', on);
    if (on)
      this.#query ??= Math.floor(this.#grid[0] / 2) * this.#grid[1] + Math.floor(this.#grid[1] / 2);
    this.#forget();
  }

  #ask(query: Query | undefined): void {
    this.#query = query;
    if (!this.#attention) {
      this.#latest.request();
      return;
    }
    this.#draw();
    this.#tell();
  }

  #forget(): void {
    this.#attention = undefined;
    this.#draw();
    if (this.#shown.checked) this.#latest.request();
  }

  async #run(): Promise<void> {
    const picture = this.#picture;
    if (!picture || this.#attention) return;
    await this.#failure.guard(async () => {
      const block = Number(this.#block.value);
      const attention = await withModel(({ mae }) => mae.attention(picture.image, block));
      if (picture === this.#picture && block === Number(this.#block.value))
        this.#attention = attention;
      this.#cls.hidden = attention.clsTokens === 0;
      this.#draw();
      this.#tell();
    });
  }

  #draw(): void {
    if (!this.#original) return;
    const values = this.#shown.checked ? this.#row() : undefined;
    this.#caption(values !== undefined);
    if (!values) {
      this.#legend.show(undefined);
      this.#plate.show({ ...this.#original, cursor: this.#cursor });
      return;
    }
    const top = Math.max(...values);
    this.#legend.show(`${(top * 100).toFixed(1)}% of its attention`);
    const chosen = typeof this.#query === 'number' ? this.#query : undefined;
    this.#plate.show({
      ...this.#original,
      heat: values.map((value) => value / top),
      cursor: this.#cursor ?? chosen,
    });
  }

  /** Says what the plate shows. */
  #caption(attention: boolean): void {
    const columns = this.#grid[1];
    const query =
      typeof this.#query === 'number'
        ? `row ${Math.floor(this.#query / columns) + 1}, column ${(this.#query % columns) + 1}`
        : 'the cls token';
    const what = attention ? `Original, attention from ${query}` : 'Original';
    byId('caption-original').textContent = what;
    this.#plate.canvas.setAttribute('aria-label', attention ? what : 'Original picture');
  }

  #tell(): void {
    const values = this.#row();
    if (!values) return;
    const top = Math.max(...values);
    const target = values.indexOf(top);
    const columns = this.#grid[1];
    announce(
      `Looks most at row ${Math.floor(target / columns) + 1}, column ${(target % columns) + 1}: ${(top * 100).toFixed(0)} percent.`,
    );
  }

  /** The weights that the query gives to each patch, in the chosen head or in the mean of all. */
  #row(): number[] | undefined {
    if (!this.#attention || this.#query === undefined) return undefined;
    const { heads, tokens, clsTokens, weights } = this.#attention;
    const query = this.#query === 'cls' ? 0 : this.#query + clsTokens;
    const chosen =
      this.#head.value === 'mean'
        ? Array.from({ length: heads }, (_, i) => i)
        : [Number(this.#head.value)];
    return Array.from({ length: tokens - clsTokens }, (_, patch) => {
      const at = (head: number) =>
        weights[(head * tokens + query) * tokens + clsTokens + patch] ?? 0;
      return chosen.reduce((sum, head) => sum + at(head), 0) / chosen.length;
    });
  }
}

function options(count: number, label: (index: number) => string): HTMLOptionElement[] {
  return Array.from({ length: count }, (_, i) => element('option', { value: String(i) }, label(i)));
}
