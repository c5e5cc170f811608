import type { Progress, Support } from 'webmae';
import { byId } from '../dom.ts';
import { bytes, duration, loss, millions, preparing } from '../format.ts';
import type { LoadedModel } from '../model.ts';

/** The line of numbers under the plates, and the progress of a model that loads. */
export class Caption {
  /** Whether the model in use has not reconstructed yet. */
  #first = true;

  /** What models run on; why, in the tooltip. */
  showDevice({ device, why, adapter }: Support): void {
    const box = byId('caption-device');
    const names = { webgpu: adapter?.name ?? '', cpu: 'processor' };
    box.textContent = device ? names[device] : 'nothing';
    box.title = why;
  }

  showModel({ mae, name }: LoadedModel): void {
    const { config, weights } = mae.info;
    const [height, width] = config.image_size;
    byId('caption-model').textContent =
      `${name}, ${width} × ${height} px, ${millions(weights.parameters)} parameters`;
    this.#first = true;
  }

  /** Loss and time; no time for what was prepared. */
  showResult(value: number, milliseconds: number | undefined): void {
    byId('caption-loss').textContent = loss(value);
    byId('caption-time').textContent = this.#time(milliseconds);
  }

  /** How far loading has come; undefined when it has ended. */
  showProgress(progress: Progress | undefined): void {
    const box = byId('model-progress');
    box.hidden = progress === undefined;
    if (!progress) return;
    const { stage, done, total } = progress;
    const bar = box.querySelector('progress') as HTMLProgressElement;
    if (total) bar.value = done / total;
    else bar.removeAttribute('value');
    const amount = `${bytes(done)}${total ? ` of ${bytes(total)}` : ''}`;
    (box.querySelector('span') as HTMLElement).textContent =
      stage === 'kernels' ? preparing(progress) : `Loading the model, ${amount}`;
  }

  /** The first time with a model takes longer: the browser compiles its kernels. */
  #time(milliseconds: number | undefined): string {
    if (milliseconds === undefined) return 'prepared';
    const first = this.#first;
    this.#first = false;
    return first ? `${duration(milliseconds)}, first run` : duration(milliseconds);
  }
}
