import { Camera } from '../camera.ts';
import { byId, element, onFiles } from '../dom.ts';
import type { FailureLine } from '../failure.ts';
import { PageError } from '../failure.ts';
import {
  isOwn,
  newOwnId,
  type Picture,
  photograph,
  photographs,
  pictureFromAddress,
  pictureFromFile,
  thumbnail,
} from '../pictures.ts';
import { KeptPictures } from './kept-pictures.ts';

/** The row of photographs, and the ways to bring one's own. */
export class ContactSheet {
  readonly #row = byId('thumbnails');
  readonly #failure: FailureLine;
  readonly #chosen: (picture: Picture) => Promise<void>;
  readonly #camera = new Camera(byId<HTMLVideoElement>('camera-video'));
  readonly #kept = new KeptPictures();
  /** The visitor's pictures in the row. */
  readonly #own = new Map<string, Picture>();

  constructor(failure: FailureLine, chosen: (picture: Picture) => Promise<void>) {
    this.#failure = failure;
    this.#chosen = chosen;
    onFiles('own-file', 'own-input', (files) => void this.take(files));
    byId('own-forget').addEventListener('click', () => void this.#forget());
    byId('own-camera').addEventListener('click', () => void this.#openCamera());
    byId('camera-take').addEventListener('click', () => void this.#takeFrame());
    byId('camera-cancel').addEventListener('click', () => this.#closeCamera());
    byId('camera').addEventListener('keydown', (event) => {
      if (event.key === 'Escape') this.#closeCamera();
    });
    addEventListener('hashchange', () => this.#camera.on && this.#closeCamera());
  }

  /** Makes the row. */
  async fill(): Promise<void> {
    const buttons = (await photographs()).map((credit) => {
      const image = element('img', {
        src: thumbnail(credit),
        alt: credit.title,
        width: 176,
        height: 176,
      });
      const button = element(
        'button',
        { type: 'button', className: 'thumbnail', title: credit.title },
        image,
      );
      button.dataset.picture = credit.id;
      button.addEventListener('click', () => {
        void this.#failure.guard(async () => this.#chosen(await photograph(credit.id)));
      });
      return button;
    });
    this.#row.replaceChildren(...buttons);
    const known =
      this.#own.size > 0 ? [...this.#own.values()] : (await this.#kept.list()).reverse();
    for (const picture of known) this.#addOwn(picture);
  }

  /** A picture of the visitor's that is in the row. */
  own(id: string): Picture | undefined {
    return this.#own.get(id);
  }

  /** Frames the picture in use. */
  mark(picture: Picture): void {
    if (isOwn(picture.id) && !this.#own.has(picture.id)) this.#addOwn(picture);
    for (const button of this.#row.querySelectorAll('button')) {
      button.setAttribute('aria-pressed', String(button.dataset.picture === picture.id));
    }
  }

  /** Takes all of a visitor's files that are pictures, uses the first of them, and names the others. */
  async take(files: File[]): Promise<void> {
    await this.#failure.guard(async () => {
      const pictures: Picture[] = [];
      const refused: string[] = [];
      for (const file of files) {
        try {
          pictures.push(await pictureFromFile(file));
        } catch (error) {
          if (!(error instanceof PageError)) throw error;
          refused.push(error.message);
        }
      }
      for (const picture of pictures.toReversed()) await this.#keep(picture);
      const [first] = pictures;
      if (first) await this.#chosen(first);
      if (refused.length > 0) throw new PageError(refused.join(' '));
    });
  }

  /** Uses the picture at an address. */
  async takeAddress(address: string): Promise<void> {
    await this.#failure.guard(async () => {
      const picture = await pictureFromAddress(address);
      await this.#keep(picture);
      await this.#chosen(picture);
    });
  }

  async #keep(picture: Picture): Promise<void> {
    this.#addOwn(picture);
    const kept = await this.#kept.keep(picture);
    byId('own-kept').textContent = kept
      ? 'They stay on this device, for the next visit too.'
      : 'They stay on this device; this browser has no room to keep them for the next visit.';
  }

  /** Removes what is kept. The picture in use stays until another one is chosen. */
  async #forget(): Promise<void> {
    await this.#kept.forget();
    this.#own.clear();
    for (const button of this.#row.querySelectorAll<HTMLElement>('button'))
      if (isOwn(button.dataset.picture ?? '')) button.remove();
    byId('own-forget').hidden = true;
  }

  #addOwn(picture: Picture): void {
    this.#own.set(picture.id, picture);
    byId('own-forget').hidden = false;
    const canvas = element('canvas', { width: 176, height: 176 });
    const side = Math.min(picture.image.width, picture.image.height);
    const [x, y] = [(picture.image.width - side) / 2, (picture.image.height - side) / 2];
    canvas.getContext('2d')?.drawImage(picture.image, x, y, side, side, 0, 0, 176, 176);
    const button = element(
      'button',
      { type: 'button', className: 'thumbnail', title: picture.title },
      canvas,
    );
    button.setAttribute('aria-label', picture.title);
    button.dataset.picture = picture.id;
    button.addEventListener('click', () => void this.#chosen(picture));
    this.#row.querySelector(`[data-picture="${picture.id}"]`)?.remove();
    this.#row.prepend(button);
  }

  async #openCamera(): Promise<void> {
    await this.#failure.guard(async () => {
      await this.#camera.start();
      byId('camera').hidden = false;
      byId('camera-take').focus();
    });
  }

  async #takeFrame(): Promise<void> {
    const image = await this.#camera.take();
    this.#closeCamera();
    const picture = { id: newOwnId(), title: 'From the camera', image };
    await this.#keep(picture);
    await this.#chosen(picture);
  }

  #closeCamera(): void {
    this.#camera.stop();
    byId('camera').hidden = true;
    byId('own-camera').focus();
  }
}
