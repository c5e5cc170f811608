import { type Progress, type Support, Trainer } from 'webmae';
import { byId, onFiles, saveFile } from '../dom.ts';
import { FailureLine, isDeviceLost, PageError, sure } from '../failure.ts';
import { ago, count, loss, plural, preparing } from '../format.ts';
import { loadModel } from '../model.ts';
import { learningPictures, OwnPictures, watchedPictures } from './dataset.ts';
import { Due } from './due.ts';
import { inFormWords } from './form-words.ts';
import { Gathering } from './gathering.ts';
import { Meters } from './meters.ts';
import { Recipe } from './recipe.ts';
import { canKeep, type Kept, KeptRun } from './storage.ts';
import { WATCHED, Watch } from './watch.ts';

type State = 'empty' | 'preparing' | 'paused' | 'running' | 'finished';

const STATES: Record<State, string> = {
  empty: 'Not started',
  preparing: 'Preparing',
  paused: 'Paused',
  running: 'Training',
  finished: 'Finished',
};

/** What cannot be done now, and when it can. */
const HINTS: Partial<Record<State, string>> = {
  running: 'Pause to save, to export, to use the model in Reconstruct, or to reset.',
  paused: 'The recipe stands until Reset.',
  finished: 'The recipe stands until Reset.',
};

const WATCH_MS = 2500;
const MEMORY_MS = 2000;
const KEEP_MS = 15_000;
/** Good for any model: a checkpoint tells its own only after it was opened. */
const UNKNOWN_SIDE = 224;

/** The section Train: one trainer, from a recipe to weights. */
export class TrainSection {
  readonly #failure = new FailureLine(byId('train-failure'), inFormWords);
  readonly #recipe: Recipe;
  readonly #meters = new Meters();
  readonly #watch = new Watch();
  readonly #own = new OwnPictures();
  readonly #gathering = new Gathering(this.#own, this.#failure, () => this.#ownChanged());
  readonly #watchDue = new Due(WATCH_MS);
  readonly #memoryDue = new Due(MEMORY_MS);
  readonly #keepDue = new Due(KEEP_MS);
  readonly #more = byId<HTMLInputElement>('train-more-steps');
  #trainer: Trainer | undefined;
  /** Where the run is kept. */
  #place: KeptRun | undefined;
  /** The step that is kept, or saved as a file. */
  #keptStep = 0;
  /** Runs of earlier visits. */
  #earlier: Kept[] = [];
  #creating: AbortController | undefined;
  #pausing = false;

  constructor(support: Support) {
    this.#recipe = new Recipe(support);
    const click = (id: string, work: () => Promise<void> | void) =>
      byId(id).addEventListener('click', () => void this.#failure.guard(async () => work()));
    click('train-start', () => this.#run());
    click('train-pause', () => this.#pause());
    click('train-step', () => this.#step());
    byId('train-beyond').addEventListener('submit', (event) => {
      event.preventDefault();
      void this.#failure.guard(() => this.#goBeyond());
    });
    click('train-reset', () => this.#reset());
    click('train-use', () => this.#use());
    click('train-save', () => this.#save());
    click('train-export', () => this.#export());
    click('train-continue', () => this.#continue());
    click('train-discard', () => this.#discard());
    onFiles(
      'train-resume',
      'train-resume-input',
      ([file]) => void this.#failure.guard(() => this.#openFile(file)),
    );
    document.addEventListener('visibilitychange', () => {
      // A hidden tab may be discarded: what was done is kept with the next step.
      if (document.hidden) this.#keepDue.force();
    });
    addEventListener('beforeunload', (event) => {
      if (this.#trainer && this.#trainer.info.step > this.#keptStep) event.preventDefault();
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
      if (files.length === 1 && first?.name.endsWith('.safetensors')) return this.#openFile(first);
      if (this.#trainer) {
        throw new PageError('A model is in training. Reset it before you choose other pictures.');
      }
      return this.#gathering.take(files);
    });
  }

  async #create(): Promise<Trainer> {
    if (this.#trainer) return this.#trainer;
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
      this.#rest();
    }
  }

  /** Makes `trainer` the section's own, in a place of its own by default. */
  async #adopt(trainer: Trainer, place?: KeptRun): Promise<void> {
    this.#trainer = trainer;
    this.#place = place ?? (await KeptRun.create());
    this.#keptStep = trainer.info.step;
    this.#showKept();
    byId('train-saved').hidden = true;
    this.#meters.show(trainer);
    await this.#showWatched();
    await this.#watch.update(trainer, showPreparing);
    await this.#meters.showMemory();
    if (this.#recipe.source === 'own') {
      await this.#place?.keepPictures(this.#own.files).catch(() => this.#noRoom());
    }
  }

  async #run(): Promise<void> {
    let trainer = await this.#create();
    this.#setState('running');
    this.#pausing = false;
    this.#keepDue.restart();
    const goal = trainer.info.totalSteps;
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
      this.#rest();
    }
  }

  /** Goes on after the end of the schedule, with a longer one. */
  async #goBeyond(): Promise<void> {
    const trainer = this.#trainer;
    if (!trainer) return;
    const { totalSteps } = await trainer.extend(this.#more.valueAsNumber);
    this.#recipe.fields = { ...this.#recipe.fields, steps: String(totalSteps) };
    await this.#run();
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
      this.#rest();
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
    await this.#place?.forget();
    this.#place = undefined;
    this.#showKept();
    await trainer.close();
    await this.#offerKept();
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
    if (!trainer) return;
    saveWeights(await trainer.save(), `webmae-step-${trainer.info.step}`);
    this.#keptStep = trainer.info.step;
  }

  async #export(): Promise<void> {
    const trainer = this.#trainer;
    if (!trainer) return;
    const weights = await trainer.exportWeights({ precision: 'f16' });
    saveWeights(weights, `webmae-weights-step-${trainer.info.step}`);
  }

  /** Goes on from a checkpoint's file. */
  async #openFile(file: File | undefined): Promise<void> {
    if (!file) return;
    const old = this.#trainer;
    if (old) sure('Discard the run in progress and open the checkpoint?');
    await this.#prepare(async () => {
      const images = this.#pictures(UNKNOWN_SIDE);
      const trainer = await Trainer.resume(file, { images, onProgress: showPreparing });
      await old?.close();
      await this.#place?.forget();
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
    if (!this.#place) return;
    const checkpoint = await trainer.save();
    const { step, totalSteps } = trainer.info;
    const recipe = this.#recipe.fields;
    const record = { time: Date.now(), step, totalSteps, recipe, ...this.#meters.course };
    try {
      await this.#place.keep(record, checkpoint);
      this.#keptStep = step;
    } catch {
      this.#noRoom();
    }
    this.#showKept();
  }

  #noRoom(): void {
    this.#failure.show(
      'The browser has no room to keep this run for the next visit. “Save checkpoint” makes a file of it.',
    );
  }

  /** Says how far the run is kept. */
  #showKept(): void {
    const line = byId('train-kept');
    line.hidden = !this.#trainer;
    line.textContent = !canKeep()
      ? 'This browser keeps no runs: a reload loses this one. “Save checkpoint” makes a file of it.'
      : this.#keptStep === 0
        ? `Kept on this device every ${KEEP_MS / 1000} seconds or so, and at each pause.`
        : `Kept on this device up to step ${count(this.#keptStep)}; kept again every ${KEEP_MS / 1000} seconds or so, and at each pause.`;
  }

  /** Offers the latest of the kept runs that no other tab has. */
  async #offerKept(): Promise<void> {
    this.#earlier = await KeptRun.list();
    // Meanwhile a run may have begun.
    const [latest, ...others] = this.#trainer ? [] : this.#earlier;
    byId('train-saved').hidden = !latest;
    if (!latest) return;
    const { step, totalSteps, time, losses } = latest.record;
    const last = losses.at(-1);
    const lossPart = last === undefined ? '' : `, loss ${loss(last)}`;
    const more =
      others.length === 0 ? '' : ` ${plural(others.length, 'more run is', 'more runs are')} kept.`;
    const how = step < totalSteps ? 'You left off at' : 'A run was finished at';
    byId('train-saved-text').textContent =
      `${how} step ${count(step)}${lossPart}, ${ago(time)}.${more}`;
    byId('train-continue').textContent = step < totalSteps ? 'Continue' : 'Open';
  }

  async #continue(): Promise<void> {
    const [latest] = this.#earlier;
    if (!latest) return;
    const run = await this.#open(latest);
    const { record } = latest;
    const checkpoint = await run.checkpoint();
    if (!checkpoint) {
      await run.forget();
      return this.#offerKept();
    }
    try {
      const pictures = await run.pictures();
      if (pictures.length > 0) this.#own.replace(pictures);
      this.#gathering.show();
      this.#recipe.fields = record.recipe;
      await this.#prepare(async () => {
        const images = this.#pictures();
        const trainer = await Trainer.resume(checkpoint, { images, onProgress: showPreparing });
        this.#meters.begin(record);
        await this.#adopt(trainer, run);
      });
    } catch (error) {
      if (this.#place !== run) run.release();
      throw error;
    }
    if (record.step < record.totalSteps) await this.#run();
  }

  async #discard(): Promise<void> {
    const [latest] = this.#earlier;
    if (latest) await (await this.#open(latest)).forget();
    await this.#offerKept();
  }

  async #open({ id }: Kept): Promise<KeptRun> {
    const run = await KeptRun.open(id);
    if (run) return run;
    throw new PageError(
      'Another tab has this run by now. Close it there, or begin a new one here.',
    );
  }

  #ownChanged(): void {
    this.#recipe.source = this.#own.count > 0 ? 'own' : 'samples';
    void this.#showWatched();
  }

  async #showWatched(): Promise<void> {
    this.#watch.show(await watchedPictures(this.#recipe.source, this.#own, WATCHED));
  }

  /** The state of a section in which nothing goes on. */
  #rest(): void {
    const trainer = this.#trainer;
    const { step, totalSteps } = trainer?.info ?? { step: 0, totalSteps: 0 };
    const finished = trainer !== undefined && step >= totalSteps;
    this.#setState(finished ? 'finished' : trainer ? 'paused' : 'empty');
    if (finished)
      byId('train-state').textContent = `Finished: ${count(step)} steps, as the recipe says`;
  }

  #setState(state: State): void {
    const enable = (ids: string[], enabled: boolean) => {
      for (const id of ids) byId<HTMLButtonElement>(id).disabled = !enabled;
    };
    const finished = state === 'finished';
    const stands = state === 'paused' || finished;
    enable(['train-start', 'train-step'], state === 'empty' || state === 'paused');
    enable(['train-resume'], state === 'empty' || stands);
    enable(['train-pause'], state === 'running');
    enable(['train-reset'], stands || state === 'preparing');
    enable(['train-use', 'train-save', 'train-export'], stands);
    this.#recipe.locked = state !== 'empty';
    byId('train-start').textContent = state === 'empty' ? 'Start' : 'Go on';
    byId('train-state').textContent = STATES[state];
    byId('train-beyond').hidden = !finished;
    const hint = HINTS[state] ?? '';
    byId('train-hint').textContent = hint;
    byId('train-hint').hidden = hint === '';
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
