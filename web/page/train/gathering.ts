import { Camera } from '../camera.ts';
import { byId, onFiles } from '../dom.ts';
import type { FailureLine } from '../failure.ts';
import { count, plural } from '../format.ts';
import type { OwnPictures } from './dataset.ts';

const CAMERA_MS = 500;

/** The ways to bring pictures to learn from: files, a folder, the camera. */
export class Gathering {
  readonly #own: OwnPictures;
  readonly #failure: FailureLine;
  readonly #changed: () => void;
  readonly #camera = new Camera(byId<HTMLVideoElement>('train-video'));
  #timer: number | undefined;

  /** `changed` is called after pictures came or went. */
  constructor(own: OwnPictures, failure: FailureLine, changed: () => void) {
    this.#own = own;
    this.#failure = failure;
    this.#changed = changed;
    onFiles('train-files', 'train-files-input', (files) => void this.take(files));
    onFiles('train-folder', 'train-folder-input', (files) => void this.take(files));
    byId('train-camera').addEventListener('click', () => {
      void failure.guard(() => this.#toggleCamera());
    });
    byId('train-clear').addEventListener('click', () => {
      own.replace([]);
      this.show();
    });
    addEventListener('hashchange', () => this.rest());
  }

  /** Adds a visitor's files. */
  async take(files: File[]): Promise<void> {
    await this.#failure.guard(async () => {
      const refused = await this.#own.add(files, (done) => {
        byId('own-count').textContent = `reading ${count(done)} of ${count(files.length)}`;
      });
      if (refused > 0) {
        this.#failure.show(
          `${plural(refused, 'file is', 'files are')} not a picture and left out.`,
        );
      }
    });
    this.show();
  }

  /** Shows how many there are. */
  show(): void {
    const number = this.#own.count;
    byId('own-count').textContent =
      number === 0 ? 'none yet' : plural(number, 'picture', 'pictures');
    byId('train-clear').hidden = number === 0;
    this.#changed();
  }

  /** Ends what may be going on. */
  rest(): void {
    if (this.#camera.on) void this.#toggleCamera();
  }

  /** While it is on, the camera adds a picture now and then. */
  async #toggleCamera(): Promise<void> {
    if (this.#camera.on) {
      clearInterval(this.#timer);
      this.#camera.stop();
    } else {
      await this.#camera.start();
      this.#timer = window.setInterval(() => void this.#takeFrame(), CAMERA_MS);
    }
    byId('train-video').hidden = !this.#camera.on;
    byId('train-camera').textContent = this.#camera.on ? 'Stop the camera' : 'Camera';
  }

  async #takeFrame(): Promise<void> {
    if (!this.#camera.on) return;
    await this.#own.addBitmap(await this.#camera.take());
    this.show();
  }
}
