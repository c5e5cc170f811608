import { type LoadOptions, MAE, type WeightsSource } from 'webmae';
import { isDeviceLost } from './failure.ts';

/** A loaded model, what it is called on the page and how it is loaded again. */
export interface LoadedModel {
  mae: MAE;
  name: string;
  source: WeightsSource;
  hfConfig: LoadOptions['hfConfig'];
}

type Listener = (model: LoadedModel) => void;

const listeners: Listener[] = [];
let current: LoadedModel | undefined;
let first: Promise<LoadedModel> | undefined;

/** Calls `changed` whenever another model is in use. */
export function onModelChange(changed: Listener): void {
  listeners.push(changed);
}

/** Loads a model and puts it in the place of the one in use, which stays if that fails. */
export async function loadModel(
  source: WeightsSource,
  name: string,
  options?: LoadOptions,
): Promise<LoadedModel> {
  return use(await open(source, name, options));
}

/** The model in use; at first the one that comes with the package. */
export async function model(options?: LoadOptions): Promise<LoadedModel> {
  if (current) return current;
  first ??= open('tiny', 'shipped', options).finally(() => {
    first = undefined;
  });
  const shipped = await first;
  return current ?? use(shipped);
}

/** Works with the model in use. If another one took its place meanwhile, or the device was lost, the
 * work is done once more. */
export async function withModel<T>(work: (model: LoadedModel) => Promise<T>): Promise<T> {
  const used = await model();
  try {
    return await work(used);
  } catch (error) {
    if (current && current !== used) return work(current);
    if (!isDeviceLost(error)) throw error;
    const { source, name, hfConfig } = used;
    return work(await loadModel(source, name, hfConfig === undefined ? {} : { hfConfig }));
  }
}

async function open(
  source: WeightsSource,
  name: string,
  options?: LoadOptions,
): Promise<LoadedModel> {
  return { mae: await MAE.load(source, options), name, source, hfConfig: options?.hfConfig };
}

async function use(opened: LoadedModel): Promise<LoadedModel> {
  const old = current;
  current = opened;
  for (const listener of listeners) listener(opened);
  await old?.mae.close();
  return opened;
}
