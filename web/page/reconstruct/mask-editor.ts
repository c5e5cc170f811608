import { announce, byId, Choice } from '../dom.ts';
import { PatchPointer } from './patch-pointer.ts';
import type { Grid } from './plate.ts';
import type { Scene } from './scene.ts';

type MaskPart = Pick<Scene, 'painted' | 'ratio' | 'strategy' | 'seed'>;

/** What the editor works on. */
export interface MaskHost {
  readonly scene: Scene;
  readonly grid: Grid;
  /** The mask that is seen now. */
  readonly mask: Uint8Array | undefined;
  change(part: Partial<Scene>): void;
  showCursor(patch: number | undefined): void;
  /** Says something to the visitor. */
  note(text: string): void;
}

/** Numbers that a seed can be, from 0 on. */
const SEEDS = 2 ** 32;

/** The controls of the mask: slider, strategy, seed, brush, undo. */
export class MaskEditor {
  readonly #host: MaskHost;
  readonly #slider = byId<HTMLInputElement>('ratio');
  readonly #seed = byId<HTMLInputElement>('seed');
  readonly #undo = byId<HTMLButtonElement>('undo');
  readonly #strategy: Choice<Scene['strategy']>;
  readonly #brush = new Choice<'1' | '3'>('brush');
  readonly #past: MaskPart[] = [];
  /** 1 while the stroke hides patches, 0 while it shows them. */
  #stroke: 0 | 1 = 1;
  #sliding = false;
  readonly pointer: PatchPointer;

  constructor(host: MaskHost, canvas: HTMLCanvasElement) {
    this.#host = host;
    this.#strategy = new Choice('strategy', (strategy) => this.#replace({ strategy }));
    this.#slider.addEventListener('input', () => this.#slide());
    this.#slider.addEventListener('change', () => {
      this.#sliding = false;
    });
    this.#seed.addEventListener('change', () => this.#seedChosen());
    byId('new-mask').addEventListener('click', () =>
      this.#replace({ seed: (this.#host.scene.seed + 1) % SEEDS }),
    );
    byId('invert').addEventListener('click', () => this.#invert());
    this.#undo.addEventListener('click', () => this.#back());
    document.addEventListener('keydown', (event) => {
      const typing = event.target instanceof HTMLInputElement && event.target.type !== 'range';
      const undo =
        (event.ctrlKey || event.metaKey) && !event.shiftKey && event.key.toLowerCase() === 'z';
      if (undo && !typing && !byId('reconstruct').hidden) {
        event.preventDefault();
        this.#back();
      }
    });
    this.pointer = new PatchPointer(canvas, () => host.grid, {
      press: (patch) => this.#press(patch),
      drag: (patches) => this.#paint(patches),
      move: (patch) => this.#moved(patch),
    });
  }

  /** Shows the scene in the controls. */
  show(scene: Scene, patches: number): void {
    this.#slider.max = String(Math.floor((1 - 1 / patches) * 100) / 100);
    if (!this.#sliding) this.#slider.value = String(scene.ratio);
    this.#slider.style.setProperty(
      '--share',
      `${(this.#slider.valueAsNumber / Number(this.#slider.max)) * 100}%`,
    );
    this.#strategy.value = scene.strategy;
    if (document.activeElement !== this.#seed) this.#seed.value = String(scene.seed);
    this.#undo.disabled = this.#past.length === 0;
  }

  #seedChosen(): void {
    const valid = this.#seed.checkValidity() && this.#seed.value !== '';
    this.#seed.setAttribute('aria-invalid', String(!valid));
    if (valid) {
      this.#host.note('');
      this.#replace({ seed: this.#seed.valueAsNumber });
    } else {
      this.#host.note(
        `A seed is a whole number from 0 to ${SEEDS - 1}; the mask is still that of ${this.#host.scene.seed}.`,
      );
    }
  }

  #remember(): void {
    const { painted, ratio, strategy, seed } = this.#host.scene;
    this.#past.push({ painted, ratio, strategy, seed });
  }

  /** Another drawn mask, in the place of a painted one. */
  #replace(part: Partial<MaskPart>): void {
    this.#remember();
    this.#host.change({ painted: undefined, ...part });
  }

  #slide(): void {
    if (!this.#sliding) this.#remember();
    this.#sliding = true;
    this.#host.change({ painted: undefined, ratio: this.#slider.valueAsNumber });
  }

  #invert(): void {
    const { mask } = this.#host;
    if (!mask) return;
    this.#remember();
    this.#host.change({ painted: mask.map((hidden) => 1 - hidden) });
  }

  #back(): void {
    const part = this.#past.pop();
    if (!part) return;
    this.#host.change(part);
    announce('Undone.');
  }

  #press(patch: number): void {
    const { mask } = this.#host;
    if (!mask) return;
    this.#remember();
    this.#stroke = mask[patch] ? 0 : 1;
    this.#paint([patch]);
    announce(`${this.#name(patch)}, now ${this.#stroke ? 'hidden' : 'visible'}`);
  }

  #paint(patches: number[]): void {
    const { mask, grid } = this.#host;
    if (!mask) return;
    const painted = mask.slice();
    const reach = this.#brush.value === '3' ? 1 : 0;
    for (const patch of patches) {
      for (const near of neighbourhood(patch, reach, grid)) painted[near] = this.#stroke;
    }
    this.#host.change({ painted });
  }

  #moved(patch: number | undefined): void {
    this.#host.showCursor(patch);
    if (patch === undefined) return;
    announce(`${this.#name(patch)}, ${this.#host.mask?.[patch] ? 'hidden' : 'visible'}`);
  }

  #name(patch: number): string {
    const columns = this.#host.grid[1];
    return `Row ${Math.floor(patch / columns) + 1}, column ${(patch % columns) + 1}`;
  }
}

function neighbourhood(patch: number, reach: number, [rows, columns]: Grid): number[] {
  const [row, column] = [Math.floor(patch / columns), patch % columns];
  const found: number[] = [];
  for (let r = Math.max(0, row - reach); r <= Math.min(rows - 1, row + reach); r++) {
    for (let c = Math.max(0, column - reach); c <= Math.min(columns - 1, column + reach); c++) {
      found.push(r * columns + c);
    }
  }
  return found;
}
