import { Camera } from '../camera.ts';
import { byId, element, onFiles } from '../dom.ts';
import type { FailureLine } from '../failure.ts';
import { type Picture, photograph, photographs, pictureFromFile, thumbnail } from '../pictures.ts';

/** The row of photographs, and the ways to bring one's own. */
export class ContactSheet {
  readonly #row = byId('thumbnails');
  readonly #failure: FailureLine;
  readonly #chosen: (picture: Picture) => Promise<void>;
  readonly #camera = new Camera(byId<HTMLVideoElement>('camera-video'));
  #own: Picture | undefined;

  constructor(failure: FailureLine, chosen: (picture: Picture) => Promise<void>) {
    this.#failure = failure;
    this.#chosen = chosen;
    onFiles('own-file', 'own-input', ([file]) => file && void this.take(file));
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
  }

  /** Frames the picture in use. */
  mark(picture: Picture): void {
    if (picture.id === 'own' && picture !== this.#own) this.#addOwn(picture);
    for (const button of this.#row.querySelectorAll('button')) {
      button.setAttribute('aria-pressed', String(button.dataset.picture === picture.id));
    }
  }

  /** Uses a visitor's file. */
  async take(file: Blob): Promise<void> {
    await this.#failure.guard(async () => this.#chosen(await pictureFromFile(file)));
  }

  #addOwn(picture: Picture): void {
    this.#own = picture;
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
    button.dataset.picture = 'own';
    button.addEventListener('click', () => void this.#chosen(picture));
    this.#row.querySelector('[data-picture="own"]')?.remove();
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
    await this.#chosen({ id: 'own', title: 'From the camera', image });
  }

  #closeCamera(): void {
    this.#camera.stop();
    byId('camera').hidden = true;
    byId('own-camera').focus();
  }
}
