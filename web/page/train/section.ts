import { type Progress, type Support, Trainer } from 'webmae';
import { byId, onFiles, saveFile } from '../dom.ts';
import { FailureLine, isDeviceLost, PageError, sure } from '../failure.ts';
import { ago, count, loss, preparing } from '../format.ts';
import { loadModel } from '../model.ts';
import { learningPictures, OwnPictures, watchedPictures } from './dataset.ts';
import { Due } from './due.ts';
import { Gathering } from './gathering.ts';
import { Meters } from './meters.ts';
import { Recipe } from './recipe.ts';
import {
  canKeep,
  forgetRun,
  keepPictures,
  keepRun,
  keptCheckpoint,
  keptPictures,
  keptRun,
} from './storage.ts';
import { WATCHED, Watch } from './watch.ts';

type State = 'empty' | 'preparing' | 'paused' | 'running';

const STATES: Record<State, string> = {
  empty: 'Not started',
  preparing: 'Preparing',
  paused: 'Paused',
  running: 'Training',
};

const WATCH_MS = 2500;
const MEMORY_MS = 2000;
const KEEP_MS = 30_000;
/** Good for any model: a checkpoint tells its own only after it was opened. */
const UNKNOWN_SIDE = 224;

/** The section Train: one trainer, from a recipe to weights. */
export class TrainSection {
  readonly #failure = new FailureLine(byId('train-failure'));
  readonly #recipe: Recipe;
  readonly #meters = new Meters();
  readonly #watch = new Watch();
  readonly #own = new OwnPictures();
  readonly #gathering = new Gathering(this.#own, this.#failure, () => this.#ownChanged());
  readonly #watchDue = new Due(WATCH_MS);
  readonly #memoryDue = new Due(MEMORY_MS);
  readonly #keepDue = new Due(KEEP_MS);
  #trainer: Trainer | undefined;
  #creating: AbortController | undefined;
  #pausing = false;

  constructor(support: Support) {
    this.#recipe = new Recipe(support);
    const click = (id: string, work: () => Promise<void> | void) =>
      byId(id).addEventListener('click', () => void this.#failure.guard(async () => work()));
    click('train-start', () => this.#run());
    click('train-pause', () => this.#pause());
    click('train-step', () => this.#step());
    click('train-reset', () => this.#reset());
    click('train-use', () => this.#use());
    click('train-save', () => this.#save());
    click('train-export', () => this.#export());
    click('train-continue', () => this.#continue());
    click('train-discard', () => this.#discard());
    onFiles(
      'train-resume',
      'train-resume-input',
      ([file]) => void this.#failure.guard(() => this.#open(file)),
    );
    document.addEventListener('visibilitychange', () => {
      // A hidden tab may be discarded: what was done is kept with the next step.
      if (document.hidden) this.#keepDue.force();
    });
    for (const radio of this.#recipe.form.querySelectorAll('[name="source"]')) {
      radio.addEventListener('change', () => void this.#showWatched());
    }
    byId('train-processor').hidden = support.device === 'webgpu' && !support.software;
    void this.#showWatched();
    if (support.device) void this.#offerKept();
    else for (const button of byId('train').querySelectorAll('button')) button.disabled = true;
  }

  /** Takes a visitor's files as pictures to learn from, or a checkpoint to go on from. */
  async take(files: File[]): Promise<void> {
    await this.#failure.guard(async () => {
      const [first] = files;
      if (files.length === 1 && first?.name.endsWith('.safetensors')) return this.#open(first);
      if (this.#trainer) {
        throw new PageError('A model is in training. Reset it before you choose other pictures.');
      }
      return this.#gathering.take(files);
    });
  }

  async #create(): Promise<Trainer> {
    if (this.#trainer) return this.#trainer;
    if (!byId('train-saved').hidden) sure('Begin a new run and discard the one that was kept?');
    const options = this.#recipe.options();
    this.#gathering.rest();
    const creating = new AbortController();
    this.#creating = creating;
    return this.#prepare(async () => {
      const trainer = await Trainer.create({
        ...options,
        signal: creating.signal,
        images: this.#pictures(),
        onProgress: showPreparing,
      });
      this.#meters.begin();
      await this.#adopt(trainer);
      return trainer;
    });
  }

  /** Runs `work`, during which nothing else can be begun. */
  async #prepare<T>(work: () => Promise<T>): Promise<T> {
    this.#setState('preparing');
    try {
      return await work();
    } finally {
      this.#setState(this.#trainer ? 'paused' : 'empty');
    }
  }

  /** Makes `trainer` the section's own. */
  async #adopt(trainer: Trainer): Promise<void> {
    this.#trainer = trainer;
    byId('train-saved').hidden = true;
    this.#meters.show(trainer);
    await this.#showWatched();
    await this.#watch.update(trainer, showPreparing);
    await this.#meters.showMemory();
    if (this.#recipe.source === 'own' && canKeep()) await keepPictures(this.#own.files);
  }

  async #run(): Promise<void> {
    let trainer = await this.#create();
    this.#setState('running');
    this.#pausing = false;
    this.#keepDue.restart();
    const { step, totalSteps } = trainer.info;
    const goal = step < totalSteps ? totalSteps : step + totalSteps;
    try {
      while (!this.#pausing && trainer.info.step < goal) {
        try {
          await this.#pull(trainer, goal - trainer.info.step);
        } catch (error) {
          trainer = await this.#recover(error, trainer);
        }
      }
      this.#meters.show(trainer);
      await this.#watch.update(trainer);
      await this.#keep(trainer);
    } finally {
      this.#setState('paused');
    }
  }

  /** Trains until a pause. Nothing here waits for the screen, so a hidden tab goes on. */
  async #pull(trainer: Trainer, steps: number): Promise<void> {
    for await (const metrics of trainer.run(steps)) {
      this.#meters.record(trainer, metrics);
      if (this.#pausing) return;
      if (!document.hidden) {
        await this.#watchDue.when(() => this.#watch.update(trainer));
        await this.#memoryDue.when(() => this.#meters.showMemory());
      }
      await this.#keepDue.when(() => this.#keep(trainer));
    }
  }

  /** A trainer on a new device, if the old one was lost and there is something to go on from. */
  async #recover(error: unknown, lost: Trainer): Promise<Trainer> {
    if (!isDeviceLost(error) || !lost.lastSave) throw error;
    const trainer = await Trainer.resume(lost.lastSave, { images: this.#pictures() });
    this.#trainer = trainer;
    this.#failure.show(
      `The graphics device was lost. It goes on from step ${count(trainer.info.step)}.`,
    );
    return trainer;
  }

  async #step(): Promise<void> {
    const trainer = await this.#create();
    this.#setState('running');
    try {
      this.#meters.record(trainer, await trainer.step());
      this.#meters.show(trainer);
      await this.#watch.update(trainer);
      await this.#keep(trainer);
    } finally {
      this.#setState('paused');
    }
  }

  #pause(): void {
    this.#pausing = true;
    byId('train-state').textContent = 'Pausing after this step';
  }

  /** Cancels the preparation, or gives up the run. */
  async #reset(): Promise<void> {
    this.#creating?.abort();
    const trainer = this.#trainer;
    if (!trainer) return;
    sure('Discard this run? “Save checkpoint” keeps it as a file.');
    this.#trainer = undefined;
    this.#recipe.release();
    this.#setState('empty');
    this.#meters.begin();
    await this.#showWatched();
    await forgetRun();
    await trainer.close();
  }

  async #use(): Promise<void> {
    const trainer = this.#trainer;
    if (!trainer) return;
    const weights = await trainer.exportWeights({ precision: 'f16' });
    await loadModel(weights, `trained here, step ${count(trainer.info.step)}`);
    location.hash = '#/';
  }

  async #save(): Promise<void> {
    const trainer = this.#trainer;
    if (trainer) saveWeights(await trainer.save(), `webmae-step-${trainer.info.step}`);
  }

  async #export(): Promise<void> {
    const trainer = this.#trainer;
    if (!trainer) return;
    const weights = await trainer.exportWeights({ precision: 'f16' });
    saveWeights(weights, `webmae-weights-step-${trainer.info.step}`);
  }

  /** Goes on from a checkpoint's file. */
  async #open(file: File | undefined): Promise<void> {
    if (!file) return;
    const old = this.#trainer;
    if (old) sure('Discard the run in progress and open the checkpoint?');
    await this.#prepare(async () => {
      const images = this.#pictures(UNKNOWN_SIDE);
      const trainer = await Trainer.resume(file, { images, onProgress: showPreparing });
      await old?.close();
      this.#recipe.describe(trainer.info);
      this.#meters.begin();
      await this.#adopt(trainer);
      await this.#keep(trainer);
    });
  }

  #pictures(side = this.#recipe.side): AsyncGenerator<ImageBitmap | ImageData> {
    return learningPictures(this.#recipe.source, this.#own, side);
  }

  /** Keeps the run for the next visit. If there is no room for it, training goes on all the same. */
  async #keep(trainer: Trainer): Promise<void> {
    if (!canKeep()) return;
    const checkpoint = await trainer.save();
    const record = {
      time: Date.now(),
      step: trainer.info.step,
      recipe: this.#recipe.fields,
      ...this.#meters.course,
    };
    await keepRun(record, checkpoint).catch(() => {
      this.#failure.show(
        'The browser has no room to keep this run for the next visit. “Save checkpoint” makes a file of it.',
      );
    });
  }

  async #offerKept(): Promise<void> {
    const kept = await keptRun();
    if (!kept || this.#trainer) return;
    const last = kept.losses.at(-1);
    const lossPart = last === undefined ? '' : `, loss ${loss(last)}`;
    byId('train-saved-text').textContent =
      `You left off at step ${count(kept.step)}${lossPart}, ${ago(kept.time)}.`;
    byId('train-saved').hidden = false;
  }

  async #continue(): Promise<void> {
    const [kept, checkpoint] = await Promise.all([keptRun(), keptCheckpoint()]);
    if (!kept || !checkpoint) return this.#discard();
    const pictures = await keptPictures();
    if (pictures.length > 0) this.#own.replace(pictures);
    this.#gathering.show();
    this.#recipe.fields = kept.recipe;
    await this.#prepare(async () => {
      const images = this.#pictures();
      const trainer = await Trainer.resume(checkpoint, { images, onProgress: showPreparing });
      this.#meters.begin(kept);
      await this.#adopt(trainer);
    });
    await this.#run();
  }

  async #discard(): Promise<void> {
    await forgetRun();
    byId('train-saved').hidden = true;
  }

  #ownChanged(): void {
    this.#recipe.source = this.#own.count > 0 ? 'own' : 'samples';
    void this.#showWatched();
  }

  async #showWatched(): Promise<void> {
    this.#watch.show(await watchedPictures(this.#recipe.source, this.#own, WATCHED));
  }

  #setState(state: State): void {
    const enable = (ids: string[], enabled: boolean) => {
      for (const id of ids) byId<HTMLButtonElement>(id).disabled = !enabled;
    };
    enable(['train-start', 'train-step', 'train-resume'], state === 'empty' || state === 'paused');
    enable(['train-pause'], state === 'running');
    enable(['train-reset'], state === 'paused' || state === 'preparing');
    enable(['train-use', 'train-save', 'train-export'], state === 'paused');
    this.#recipe.locked = state !== 'empty';
    byId('train-start').textContent = state === 'empty' ? 'Start' : 'Go on';
    byId('train-state').textContent = STATES[state];
  }
}

function showPreparing(progress: Progress): void {
  const state = byId('train-state');
  if (progress.stage === 'images') state.textContent = `Reading pictures, ${count(progress.done)}`;
  else if (progress.stage === 'kernels') state.textContent = preparing(progress);
}

function saveWeights(weights: Uint8Array, name: string): void {
  saveFile(new Blob([weights as Uint8Array<ArrayBuffer>]), `${name}.safetensors`);
}
