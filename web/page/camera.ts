import { PageError } from './failure.ts';

const REFUSALS: Record<string, string> = {
  NotAllowedError: 'The camera was not allowed. Allow it in the address bar and try again.',
  NotFoundError: 'No camera was found. Connect one, or choose a file.',
  NotReadableError: 'Another program is using the camera. Close it and try again.',
};

/** The visitor's camera, shown in a video element while it is on. */
export class Camera {
  readonly #video: HTMLVideoElement;
  #stream: MediaStream | undefined;

  constructor(video: HTMLVideoElement) {
    this.#video = video;
  }

  get on(): boolean {
    return this.#stream !== undefined;
  }

  async start(): Promise<void> {
    if (!navigator.mediaDevices) {
      throw new PageError('Cameras work on https pages only. Open this page over https.');
    }
    try {
      this.#stream = await navigator.mediaDevices.getUserMedia({
        video: { width: { ideal: 1024 }, height: { ideal: 1024 }, facingMode: 'environment' },
      });
    } catch (error) {
      const name = error instanceof Error ? error.name : '';
      throw new PageError(
        REFUSALS[name] ?? 'The camera did not start. Try again, or choose a file.',
      );
    }
    this.#video.srcObject = this.#stream;
    await this.#video.play();
  }

  /** What the camera sees now. */
  take(): Promise<ImageBitmap> {
    return createImageBitmap(this.#video);
  }

  stop(): void {
    for (const track of this.#stream?.getTracks() ?? []) track.stop();
    this.#stream = undefined;
    this.#video.srcObject = null;
  }
}
