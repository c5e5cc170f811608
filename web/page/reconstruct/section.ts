import type { Progress, Reconstruction, Support } from 'webmae';
import { byId, Choice, saveFile } from '../dom.ts';
import { FailureLine } from '../failure.ts';
import { loss, plural } from '../format.ts';
import { Latest } from '../latest.ts';
import { type LoadedModel, model, onModelChange, withModel } from '../model.ts';
import { centreCrop, isOwn, type Picture, photograph } from '../pictures.ts';
import { linkTo, rememberState } from '../route.ts';
import { AttentionView } from './attention-view.ts';
import { Caption } from './caption.ts';
import { ContactSheet } from './contact-sheet.ts';
import { HeatLegend } from './heat.ts';
import { MaskEditor, type MaskHost } from './mask-editor.ts';
import { type Grid, Plate, type PlateContent, withoutHidden } from './plate.ts';
import { nearest, type Prepared, prepared } from './prepared.ts';
import {
  paintedMask,
  queryFromScene,
  reconstructOptions,
  type Scene,
  sceneFromQuery,
} from './scene.ts';
import { drawSheet } from './sheet.ts';

/** Size of the original before a model tells its own. */
const PREVIEW: Grid = [96, 96];

/** What a reconstruction is of. */
interface Request {
  scene: Scene;
  picture: Picture;
}

/** What the plates show: made now, or beforehand. */
type Shown = { grid: Grid } & Pick<
  Reconstruction,
  'original' | 'reconstruction' | 'mask' | 'loss'
> &
  Partial<Pick<Reconstruction, 'prediction' | 'patchError' | 'milliseconds'>>;

/** The section Reconstruct: one scene, and what a model makes of it. */
export class ReconstructSection implements MaskHost {
  scene: Scene;
  readonly #failure = new FailureLine(byId('reconstruct-failure'));
  readonly #caption = new Caption();
  readonly #original = new Plate(byId<HTMLCanvasElement>('plate-original'));
  readonly #masked = new Plate(byId<HTMLCanvasElement>('plate-masked'));
  readonly #third = new Plate(byId<HTMLCanvasElement>('plate-reconstruction'));
  readonly #editor = new MaskEditor(this, this.#masked.canvas);
  readonly #attention = new AttentionView(this.#original, this.#failure);
  readonly #sheet = new ContactSheet(this.#failure, (picture) => this.#choose(picture));
  readonly #thirdChoice = new Choice<Scene['third']>('third', (third) => this.change({ third }));
  readonly #viewChoice = new Choice<Scene['view']>('view', (view) => this.change({ view }));
  readonly #errorLegend = new HeatLegend('error-legend');
  readonly #showError = byId<HTMLInputElement>('show-error');
  readonly #latest = new Latest<Request>((request) => this.#run(request));
  #support: Support | undefined;
  #picture: Picture | undefined;
  #shown: Shown | undefined;
  #cursor: number | undefined;
  /** Whether a request waits for the first model. */
  #opening = false;
  #prepared: Prepared[] = [];

  constructor(query: URLSearchParams) {
    this.scene = sceneFromQuery(query);
    onModelChange((loaded) => this.#showModel(loaded));
    this.#showError.addEventListener('change', () => this.#drawThird());
    byId('download').addEventListener('click', () => void this.#download());
    byId('copy-link').addEventListener('click', () => void this.#copyLink());
  }

  /** Until this call, prepared pictures are shown. */
  start(support: Support): void {
    this.#support = support;
    this.#caption.showDevice(support);
    if (support.device) void this.#failure.guard(async () => void (await this.#model()));
    else this.#withoutModel();
    this.#request();
  }

  get grid(): Grid {
    return this.#shown?.grid ?? [1, 1];
  }

  get mask(): Uint8Array | undefined {
    return this.scene.painted ?? this.#shown?.mask;
  }

  /** Opens what the address describes. */
  async open(query: URLSearchParams): Promise<void> {
    this.scene = sceneFromQuery(query);
    await this.#sheet.fill();
    const wanted = this.scene.picture;
    const own = this.#sheet.own(wanted);
    await this.#failure.guard(async () => this.#choose(own ?? (await photograph(wanted))));
    if (isOwn(wanted) && !own) {
      this.note(
        'This link was made with someone’s own picture, which stays with them. The mask is theirs.',
      );
    }
  }

  /** Puts the state back into the address, after another section was there. */
  remember(): void {
    rememberState(queryFromScene(this.scene));
  }

  /** Takes a visitor's files. */
  take(files: File[]): Promise<void> {
    return this.#sheet.take(files);
  }

  /** Takes a picture by its address. */
  takeAddress(address: string): Promise<void> {
    return this.#sheet.takeAddress(address);
  }

  change(part: Partial<Scene>): void {
    this.scene = { ...this.scene, ...part };
    if ('painted' in part) this.scene.code = undefined;
    this.#showControls();
    rememberState(queryFromScene(this.scene));
    this.#drawMasked();
    this.#drawThird();
    this.#request();
  }

  showCursor(patch: number | undefined): void {
    this.#cursor = patch;
    this.#drawMasked();
  }

  async #choose(picture: Picture): Promise<void> {
    this.#picture = picture;
    this.#sheet.mark(picture);
    this.#attention.showPicture(picture);
    this.note(
      picture.seeThrough ? 'Its transparent parts stand on white, as the model sees them.' : '',
    );
    this.#prepared = isOwn(picture.id) ? [] : await prepared(picture.id).catch(() => []);
    if (picture !== this.#picture) return;
    if (!this.#shown)
      this.#original.show({ image: centreCrop(picture.image, PREVIEW), grid: [1, 1] });
    this.change({ picture: picture.id });
    this.#showPrepared();
  }

  #request(): void {
    if (!this.#picture || !this.#support) return;
    if (!this.#support.device) {
      this.#showPrepared();
      return;
    }
    byId('plates').ariaBusy = 'true';
    this.#latest.request({ scene: this.scene, picture: this.#picture });
  }

  async #run({ scene, picture }: Request): Promise<void> {
    await this.#failure.guard(async () => {
      const { mae } = await this.#model();
      const decoded = this.#decode(scene, mae.info.grid);
      if (!mae.info.reconstructs) {
        this.#showEncoder(centreCrop(picture.image, mae.info.config.image_size), mae.info.grid);
        return;
      }
      const onProgress = (progress: Progress) => this.#caption.showProgress(progress);
      const options = { ...reconstructOptions(decoded), onProgress };
      this.#show(await withModel(({ mae }) => mae.reconstruct(picture.image, options)));
    });
    this.#caption.showProgress(undefined);
    if (!this.#latest.waiting) byId('plates').ariaBusy = 'false';
  }

  /** The model in use, with its progress on the third plate while it loads. */
  async #model(): Promise<LoadedModel> {
    this.#opening = true;
    try {
      return await model({ onProgress: (progress) => this.#caption.showProgress(progress) });
    } finally {
      this.#opening = false;
      this.#caption.showProgress(undefined);
    }
  }

  /** The scene with the mask of its link, once the model's grid is known. */
  #decode(scene: Scene, [rows, columns]: Grid): Scene {
    const painted = paintedMask(scene, rows * columns);
    if (!painted && (scene.painted || scene.code)) {
      this.note(
        `The painted mask is for another grid than ${rows} × ${columns}; here is a drawn one.`,
      );
    }
    const decoded = { ...scene, painted, code: undefined };
    if (scene === this.scene) this.scene = decoded;
    return decoded;
  }

  #show(shown: Shown): void {
    this.#shown = shown;
    const { grid, original } = shown;
    byId('plates').style.setProperty('--ratio', String(original.width / original.height));
    this.#attention.showOriginal({ image: original, grid });
    this.#drawMasked();
    this.#drawThird();
    this.#showControls();
    this.#caption.showResult(shown.loss, shown.milliseconds);
  }

  /** The prepared reconstruction, until there is one by the model or in its place. */
  #showPrepared(): void {
    const made = nearest(this.#prepared, this.scene.ratio);
    if (!made) return;
    const { ratio, seed } = this.scene;
    const exact =
      made.ratio === ratio && made.seed === seed && !this.scene.painted && !this.scene.code;
    if (this.#support && !this.#support.device) {
      this.scene = { ...this.scene, ratio: made.ratio, painted: undefined, code: undefined };
      this.#show(made);
    } else if (exact && !this.#shown) {
      this.#show(made);
    }
  }

  #showEncoder(original: ImageData, grid: Grid): void {
    const nothing = new Uint8Array(grid[0] * grid[1]);
    this.#show({ grid, original, reconstruction: original, mask: nothing, loss: Number.NaN });
    this.note('These weights have no decoder: they show attention, but cannot reconstruct.');
  }

  #showModel(loaded: LoadedModel): void {
    const { config, grid, reconstructs } = loaded.mae.info;
    this.#caption.showModel(loaded);
    this.#attention.showModel(loaded.mae.info);
    byId('norm-views').hidden = !(config.norm_pix_loss && reconstructs);
    this.note('');
    if (this.scene.painted && this.scene.painted.length !== grid[0] * grid[1]) {
      this.change({ painted: undefined });
    } else if (!this.#opening) {
      this.#request();
    }
  }

  #showControls(): void {
    const patches = this.grid[0] * this.grid[1];
    this.#editor.show(this.scene, patches > 1 ? patches : 144);
    this.#thirdChoice.value = this.scene.third;
    this.#viewChoice.value = this.scene.view;
    const hidden = this.mask?.reduce((sum, one) => sum + one, 0);
    if (hidden === undefined || patches <= 1) return;
    const share = this.scene.painted ? hidden / patches : this.scene.ratio;
    byId('headline-ratio').textContent = `${Math.round(share * 100)}%`;
    byId('ratio-patches').textContent = `${hidden} of ${plural(patches, 'patch', 'patches')}`;
    this.#masked.canvas.setAttribute(
      'aria-label',
      `Masked picture: ${hidden} of ${patches} patches hidden, ${this.grid[0]} rows, ${this.grid[1]} columns`,
    );
  }

  #maskedContent(): PlateContent | undefined {
    const mask = this.mask;
    if (!this.#shown || !mask) return undefined;
    const { grid, original } = this.#shown;
    return { image: withoutHidden(original, mask, grid), grid, film: mask };
  }

  #drawMasked(): void {
    const content = this.#maskedContent();
    if (content) this.#masked.show({ ...content, cursor: this.#cursor });
  }

  #thirdContent(): PlateContent | undefined {
    if (!this.#shown) return undefined;
    const { grid, reconstruction, prediction, patchError, mask } = this.#shown;
    const image =
      this.scene.third === 'prediction' ? (prediction ?? reconstruction) : reconstruction;
    const top = this.#showError.checked && patchError ? Math.max(...patchError) : 0;
    this.#errorLegend.show(top === 0 ? undefined : `${loss(top)} squared error`);
    if (top === 0 || !patchError) return { image, grid };
    return {
      image,
      grid,
      heat: patchError.map((value, i) => (mask[i] ? value / top : Number.NaN)),
    };
  }

  #drawThird(): void {
    const content = this.#thirdContent();
    if (content) this.#third.show(content);
    const what = this.#thirdCaption(content);
    byId('caption-reconstruction').textContent = what;
    this.#third.canvas.setAttribute('aria-label', what);
  }

  /** What the third plate shows. */
  #thirdCaption(content: PlateContent | undefined): string {
    const what =
      this.scene.third === 'prediction' && this.#shown?.prediction
        ? 'Prediction everywhere'
        : 'Reconstruction';
    return content?.heat ? `${what}, error over it` : what;
  }

  /** Prepared pictures have a few mask ratios and nothing else to choose. */
  #withoutModel(): void {
    for (const id of ['mask-controls', 'paint-here', 'own', 'closer']) byId(id).hidden = true;
    this.#editor.pointer.enabled = false;
    this.#masked.canvas.tabIndex = -1;
    byId('prepared-note').hidden = false;
    byId('caption-model').textContent = 'prepared pictures';
  }

  note(text: string): void {
    const line = byId('reconstruct-note');
    line.textContent = text;
    line.hidden = text === '';
  }

  async #download(): Promise<void> {
    const [masked, third] = [this.#maskedContent(), this.#thirdContent()];
    if (!this.#shown || !masked || !third || !this.#picture) return;
    const { grid, original } = this.#shown;
    const how = this.scene.painted
      ? 'painted mask'
      : `${this.scene.strategy} mask, seed ${this.scene.seed}`;
    const caption = `webmae   ${this.#picture.title}   ${this.#thirdCaption(third)}   ${byId('headline-ratio').textContent} hidden, ${how}   loss ${loss(this.#shown.loss)}`;
    saveFile(
      await drawSheet([{ image: original, grid }, masked, third], caption),
      `webmae-${isOwn(this.#picture.id) ? 'own' : this.#picture.id}.png`,
    );
  }

  async #copyLink(): Promise<void> {
    const link = linkTo(queryFromScene(this.scene));
    const own = isOwn(this.scene.picture) ? ' It keeps the mask, not your picture.' : '';
    try {
      await navigator.clipboard.writeText(link);
      this.note(`The link is copied.${own}`);
    } catch {
      this.note(`Copy this link: ${link}${own}`);
    }
  }
}
