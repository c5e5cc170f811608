import { memory, type StepMetrics, type Support, Trainer } from 'webmae';
import { Camera } from '../camera.ts';
import { byId, saveFile } from '../dom.ts';
import { FailureLine, isDeviceLost, PageError } from '../failure.ts';
import { ago, bytes, clock, count, loss, plural } from '../format.ts';
import { loadModel } from '../model.ts';
import { learningPictures, OwnPictures, watchedPictures } from './dataset.ts';
import { Due } from './due.ts';
import { LossPlot } from './loss-plot.ts';
import { Recipe } from './recipe.ts';
import {
  canKeep,
  forgetRun,
  keepPictures,
  keepRun,
  keptCheckpoint,
  keptPictures,
  keptRun,
  type RunRecord,
} from './storage.ts';
import { WATCHED, Watch } from './watch.ts';

type State = 'empty' | 'preparing' | 'paused' | 'running';

const METERS_MS = 120;
const WATCH_MS = 2500;
const MEMORY_MS = 2000;
const KEEP_MS = 30_000;
const CAMERA_MS = 500;

/** The section Train: one trainer, from a recipe to weights. */
export class TrainSection {
  readonly #failure = new FailureLine(byId('train-failure'));
  readonly #recipe = new Recipe();
  readonly #own = new OwnPictures();
  readonly #plot = new LossPlot(byId('loss-plot'));
  readonly #watch = new Watch();
  readonly #camera = new Camera(byId<HTMLVideoElement>('train-video'));
  readonly #metersDue = new Due(METERS_MS);
  readonly #watchDue = new Due(WATCH_MS);
  readonly #memoryDue = new Due(MEMORY_MS);
  readonly #keepDue = new Due(KEEP_MS);
  #trainer: Trainer | undefined;
  #last: StepMetrics | undefined;
  #creating: AbortController | undefined;
  #pausing = false;
  #spent = 0;
  #cameraTimer: number | undefined;

  constructor(support: Support) {
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
    click('train-camera', () => this.#toggleCamera());
    addEventListener('hashchange', () => this.#camera.on && void this.#toggleCamera());
    click('train-clear', () => {
      this.#own.replace([]);
      this.#showOwn();
    });
    this.#files('train-files', (files) => this.take(files));
    this.#files('train-folder', (files) => this.take(files));
    this.#files('train-resume', (files) => this.#open(files));
    document.addEventListener('visibilitychange', () => {
      // A hidden tab may be discarded: what was done is kept with the next step.
      if (document.hidden) this.#keepDue.force();
    });
    byId('train-software').hidden = !support.software;
    if (!support.webgpu) {
      for (const button of byId('train').querySelectorAll('button')) button.disabled = true;
      return;
    }
    this.#recipe.form.addEventListener('change', () => void this.#showWatched());
    void this.#showWatched();
    void this.#offerKept();
  }

  /** Takes a visitor's files as pictures to learn from, or a checkpoint to go on from. */
  take(files: File[]): Promise<boolean> {
    return this.#failure.guard(async () => {
      if (files.length === 1 && files[0]?.name.endsWith('.safetensors')) return this.#open(files);
      if (this.#trainer) {
        throw new PageError('A model is in training. Reset it before you choose other pictures.');
      }
      const refused = await this.#own.add(files, (done) => {
        byId('own-count').textContent = `reading ${count(done)} of ${count(files.length)}`;
      });
      this.#recipe.source = 'own';
      this.#showOwn();
      if (refused > 0) {
        const text = `${plural(refused, 'file is', 'files are')} not a picture and left out.`;
        this.#failure.show(text);
      }
    });
  }

  async #create(): Promise<Trainer> {
    if (this.#trainer) return this.#trainer;
    const { source, side } = this.#recipe;
    const options = this.#recipe.options();
    this.#setState('preparing');
    this.#creating = new AbortController();
    try {
      const trainer = await Trainer.create({
        ...options,
        signal: this.#creating.signal,
        images: learningPictures(source, this.#own, side),
        onProgress: ({ stage, done }) => this.#preparing(stage, done),
      });
      await this.#adopt(trainer);
      if (source === 'own' && canKeep()) await keepPictures(this.#own.files);
      return trainer;
    } catch (error) {
      this.#rest();
      throw error;
    }
  }

  /** Makes `trainer` the section's own. */
  async #adopt(trainer: Trainer): Promise<void> {
    this.#trainer = trainer;
    byId('train-saved').hidden = true;
    this.#showMeters();
    await this.#showWatched();
    await this.#watch.update(trainer);
    await this.#showMemory();
    this.#setState('paused');
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
      this.#showMeters();
      await this.#watch.update(trainer);
      await this.#keep();
    } finally {
      this.#rest();
    }
  }

  /** Trains until a pause. Nothing here waits for the screen, so a hidden tab goes on. */
  async #pull(trainer: Trainer, steps: number): Promise<void> {
    for await (const metrics of trainer.run(steps)) {
      this.#record(metrics);
      if (this.#pausing) return;
      if (!document.hidden) {
        await this.#watchDue.when(() => this.#watch.update(trainer));
        await this.#memoryDue.when(() => this.#showMemory());
      }
      await this.#keepDue.when(() => this.#keep());
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
    this.#record(await trainer.step());
    this.#showMeters();
    await this.#watch.update(trainer);
    await this.#keep();
  }

  #pause(): void {
    this.#pausing = true;
    byId('train-state').textContent = 'Pausing after this step';
  }

  async #reset(): Promise<void> {
    this.#creating?.abort();
    if (!this.#trainer) return;
    const trainer = this.#trainer;
    this.#trainer = undefined;
    this.#last = undefined;
    this.#pausing = true;
    this.#spent = 0;
    this.#plot.replace([], []);
    await this.#showWatched();
    for (const meter of byId('train').querySelectorAll('.meters dd')) meter.textContent = '–';
    this.#setState('empty');
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
    if (!this.#trainer) return;
    const name = `webmae-step-${this.#trainer.info.step}.safetensors`;
    saveFile(new Blob([(await this.#trainer.save()) as Uint8Array<ArrayBuffer>]), name);
  }

  async #export(): Promise<void> {
    if (!this.#trainer) return;
    const name = `webmae-weights-step-${this.#trainer.info.step}.safetensors`;
    const weights = await this.#trainer.exportWeights({ precision: 'f16' });
    saveFile(new Blob([weights as Uint8Array<ArrayBuffer>]), name);
  }

  /** Goes on from a checkpoint's file. */
  async #open([file]: File[]): Promise<void> {
    if (!file) return;
    const trainer = await this.#resumed(file);
    await this.#trainer?.close();
    this.#spent = 0;
    this.#plot.replace([], []);
    await this.#adopt(trainer);
    await this.#keep();
  }

  async #resumed(checkpoint: Blob): Promise<Trainer> {
    this.#setState('preparing');
    try {
      return await Trainer.resume(checkpoint, { images: this.#pictures() });
    } catch (error) {
      this.#rest();
      throw error;
    }
  }

  #pictures(): AsyncGenerator<ImageBitmap | ImageData> {
    return learningPictures(this.#recipe.source, this.#own, this.#recipe.side);
  }

  async #keep(): Promise<void> {
    if (!this.#trainer || !canKeep()) return;
    const record: RunRecord = {
      time: Date.now(),
      step: this.#trainer.info.step,
      spent: this.#spent,
      recipe: this.#recipe.fields,
      steps: this.#plot.steps,
      losses: this.#plot.losses,
    };
    await keepRun(record, await this.#trainer.save());
  }

  async #offerKept(): Promise<void> {
    const kept = await keptRun();
    if (!kept || this.#trainer) return;
    const last = kept.losses.at(-1);
    byId('train-saved-text').textContent =
      `You left off at step ${count(kept.step)}${last === undefined ? '' : `, loss ${loss(last)}`}, ${ago(kept.time)}.`;
    byId('train-saved').hidden = false;
  }

  async #continue(): Promise<void> {
    const [kept, checkpoint] = await Promise.all([keptRun(), keptCheckpoint()]);
    if (!kept || !checkpoint) return this.#discard();
    this.#own.replace(await keptPictures());
    this.#recipe.fields = kept.recipe;
    this.#showOwn();
    const trainer = await this.#resumed(checkpoint);
    this.#spent = kept.spent;
    this.#plot.replace(kept.steps, kept.losses);
    await this.#adopt(trainer);
    await this.#run();
  }

  async #discard(): Promise<void> {
    await forgetRun();
    byId('train-saved').hidden = true;
  }

  #record(metrics: StepMetrics): void {
    this.#spent += metrics.milliseconds;
    this.#plot.add(metrics.step, metrics.loss);
    this.#last = metrics;
    if (this.#metersDue.passed) this.#showMeters();
  }

  #showMeters(): void {
    if (!this.#trainer) return;
    this.#metersDue.restart();
    byId('meter-step').textContent = stepText(this.#trainer);
    if (this.#last) {
      byId('meter-loss').textContent = loss(this.#last.loss);
      byId('meter-speed').textContent = this.#last.imagesPerSecond.toPrecision(3);
      byId('meter-lr').textContent = this.#last.lr.toExponential(2);
    }
    byId('meter-time').textContent = clock(this.#spent);
    this.#plot.draw();
  }

  async #showMemory(): Promise<void> {
    const { device } = await memory();
    byId('meter-memory').textContent = bytes(device);
  }

  #preparing(stage: string, done: number): void {
    const texts: Record<string, string> = {
      images: `Reading pictures, ${count(done)}`,
      kernels: 'Compiling the kernels',
    };
    byId('train-state').textContent = texts[stage] ?? 'Preparing';
  }

  #rest(): void {
    this.#setState(this.#trainer ? 'paused' : 'empty');
  }

  #setState(state: State): void {
    const enable = (id: string, enabled: boolean) => {
      byId<HTMLButtonElement>(id).disabled = !enabled;
    };
    const resting = state === 'empty' || state === 'paused';
    enable('train-start', resting);
    enable('train-step', resting);
    enable('train-pause', state === 'running');
    enable('train-resume', resting);
    enable('train-reset', state === 'paused' || state === 'preparing');
    for (const id of ['train-use', 'train-save', 'train-export']) enable(id, state === 'paused');
    this.#recipe.locked = state !== 'empty';
    byId('train-start').textContent = state === 'empty' ? 'Start' : 'Go on';
    const texts: Record<State, string> = {
      empty: 'Not started',
      preparing: 'Preparing',
      paused: 'Paused',
      running: 'Training',
    };
    byId('train-state').textContent = texts[state];
    byId('train-state').dataset.state = state;
  }

  async #showWatched(): Promise<void> {
    this.#watch.show(await watchedPictures(this.#recipe.source, this.#own, WATCHED));
  }

  #showOwn(): void {
    const { count: number } = this.#own;
    byId('own-count').textContent =
      number === 0 ? 'none yet' : plural(number, 'picture', 'pictures');
    byId('train-clear').hidden = number === 0;
    void this.#showWatched();
  }

  /** While it is on, the camera adds a picture now and then. */
  async #toggleCamera(): Promise<void> {
    const video = byId('train-video');
    if (this.#camera.on) {
      clearInterval(this.#cameraTimer);
      this.#camera.stop();
    } else {
      await this.#camera.start();
      this.#recipe.source = 'own';
      this.#cameraTimer = window.setInterval(() => void this.#takeFrame(), CAMERA_MS);
    }
    video.hidden = !this.#camera.on;
    byId('train-camera').textContent = this.#camera.on ? 'Stop the camera' : 'Camera';
  }

  async #takeFrame(): Promise<void> {
    if (!this.#camera.on) return;
    await this.#own.addBitmap(await this.#camera.take());
    this.#showOwn();
  }

  #files(id: string, taken: (files: File[]) => Promise<unknown>): void {
    const input = byId<HTMLInputElement>(`${id}-input`);
    byId(id).addEventListener('click', () => input.click());
    input.addEventListener('change', () => {
      const files = [...(input.files ?? [])];
      input.value = '';
      void this.#failure.guard(async () => {
        await taken(files);
      });
    });
  }
}

function stepText(trainer: Trainer): string {
  return `${count(trainer.info.step)} of ${count(trainer.info.totalSteps)}`;
}
