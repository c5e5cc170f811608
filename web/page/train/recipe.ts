import type { MaskStrategy, Support, TrainerInfo, TrainerOptions } from 'webmae';
import { byId } from '../dom.ts';
import { PageError } from '../failure.ts';
import type { Source } from './dataset.ts';

/** Values of a recipe's form by field, as text; a checkbox is `on` or absent. */
export type Fields = Record<string, string>;

/** Pixels of each preset's pictures. */
const SIDES: Record<string, number> = { tiny: 32, small: 96, 'vit-b': 224 };

/** The model of a checkpoint, whatever it is. */
const FROM_CHECKPOINT = 'checkpoint';
const NO_F16 = {
  webgpu: 'Needs shader-f16, which this graphics adapter does not offer.',
  cpu: 'Needs a graphics card; on the processor it would only be slower.',
};
const TOGGLES = new Set(['checkbox', 'radio']);

/** The recipe's form. */
export class Recipe {
  readonly form = byId<HTMLFormElement>('recipe');
  readonly #f16: boolean;

  /** Offers what the device can do. */
  constructor({ device = 'cpu', adapter }: Support) {
    const offered = adapter?.features.includes('shader-f16') ?? false;
    this.#f16 = device === 'webgpu' && offered;
    this.locked = false;
    if (!this.#f16) byId('f16-hint').textContent = NO_F16[device];
  }

  get fields(): Fields {
    const fields: Fields = {};
    for (const control of this.#controls()) {
      const off =
        control instanceof HTMLInputElement && !control.checked && TOGGLES.has(control.type);
      if (!off) fields[control.name] = control.value;
    }
    return fields;
  }

  set fields(fields: Fields) {
    for (const control of this.#controls()) {
      const value = fields[control.name];
      if (control instanceof HTMLInputElement && TOGGLES.has(control.type))
        control.checked = value === control.value;
      else control.value = value ?? '';
    }
  }

  get source(): Source {
    return this.fields.source === 'own' ? 'own' : 'samples';
  }

  set source(source: Source) {
    this.fields = { ...this.fields, source };
  }

  /** Pixels of a side of the model's pictures. */
  get side(): number {
    return SIDES[this.fields.preset ?? 'tiny'] ?? 224;
  }

  /** A recipe stands while its model is trained. */
  set locked(locked: boolean) {
    for (const control of this.form.querySelectorAll<HTMLInputElement>('input, select, button')) {
      control.disabled = locked || (control.name === 'f16' && !this.#f16);
    }
  }

  /** Shows what a checkpoint says of its recipe. */
  describe(info: TrainerInfo): void {
    const { config, batchSize, gradAccum, recompute, precision, totalSteps, lr, seed } = info;
    const { normPix: _, recompute: __, f16: ___, ...fields } = this.fields;
    this.fields = {
      ...fields,
      preset: FROM_CHECKPOINT,
      batchSize: String(batchSize),
      gradAccum: String(gradAccum),
      steps: String(totalSteps),
      lr: String(lr),
      seed: String(seed),
      maskRatio: String(config.mask_ratio),
      maskStrategy: config.mask_strategy,
      ...(config.norm_pix_loss ? { normPix: 'on' } : {}),
      ...(recompute ? { recompute: 'on' } : {}),
      ...(precision === 'f16' ? { f16: 'on' } : {}),
    };
  }

  /** Makes a checkpoint's recipe one that can be started anew. */
  release(): void {
    if (this.fields.preset === FROM_CHECKPOINT) this.fields = { ...this.fields, preset: 'tiny' };
  }

  /** The package's options, without pictures. */
  options(): TrainerOptions {
    const invalid = this.form.querySelector<HTMLInputElement>('input:invalid');
    if (invalid) {
      const label = invalid.closest('label')?.firstChild?.textContent?.trim() ?? invalid.name;
      invalid.closest('details')?.setAttribute('open', '');
      invalid.focus();
      throw new PageError(`“${label}”: ${invalid.validationMessage}`);
    }
    const fields = this.fields;
    const number = (name: string) => Number(fields[name]);
    return {
      preset: fields.preset as NonNullable<TrainerOptions['preset']>,
      config: {
        mask_ratio: number('maskRatio'),
        mask_strategy: fields.maskStrategy as MaskStrategy,
        norm_pix_loss: fields.normPix !== undefined,
      },
      batchSize: number('batchSize'),
      gradAccum: number('gradAccum'),
      recompute: fields.recompute !== undefined,
      precision: fields.f16 === undefined ? 'f32' : 'f16',
      steps: number('steps'),
      ...(fields.warmupSteps ? { warmupSteps: number('warmupSteps') } : {}),
      lr: number('lr'),
      weightDecay: number('weightDecay'),
      clipGrad: number('clipGrad'),
      crop: fields.crop as NonNullable<TrainerOptions['crop']>,
      flip: fields.flip !== undefined,
      colorJitter: fields.colorJitter !== undefined,
      seed: number('seed'),
    };
  }

  #controls(): (HTMLInputElement | HTMLSelectElement)[] {
    return [...this.form.querySelectorAll<HTMLInputElement | HTMLSelectElement>('[name]')];
  }
}
