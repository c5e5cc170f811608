import type { MaskStrategy, ReconstructOptions, View } from 'webmae';
import { decodeMask, encodeMask } from '../mask-code.ts';

/** All that decides what Reconstruct shows, except the model. */
export interface Scene {
  /** A shipped photograph's id, or `own`. */
  picture: string;
  ratio: number;
  strategy: MaskStrategy;
  seed: number;
  /** A mask by hand, in the place of ratio, strategy and seed. */
  painted?: Uint8Array | undefined;
  /** A mask from a link, until the model's grid is known. */
  code?: string | undefined;
  view: View;
  third: 'reconstruction' | 'prediction';
}

/** What the page opens with. */
export const FIRST_SCENE: Scene = {
  picture: 'chelsea',
  ratio: 0.75,
  strategy: 'random',
  seed: 3,
  view: 'visible-statistics',
  third: 'reconstruction',
};

/** The scene that a link describes; what it leaves out or garbles is as at first. */
export function sceneFromQuery(query: URLSearchParams): Scene {
  const ratio = number(query.get('ratio'), 0, 0.99);
  const seed = number(query.get('seed'), 0, 2 ** 32 - 1);
  return {
    picture: query.get('picture') ?? FIRST_SCENE.picture,
    ratio: ratio ?? FIRST_SCENE.ratio,
    strategy: oneOf(query.get('mask'), ['random', 'block', 'grid'], FIRST_SCENE.strategy),
    seed: seed === undefined ? FIRST_SCENE.seed : Math.floor(seed),
    code: query.get('painted') ?? undefined,
    view: oneOf(
      query.get('view'),
      ['visible-statistics', 'true-statistics', 'raw'],
      FIRST_SCENE.view,
    ),
    third: oneOf(query.get('show'), ['reconstruction', 'prediction'], FIRST_SCENE.third),
  };
}

/** Reverses {@link sceneFromQuery}. */
export function queryFromScene(scene: Scene): URLSearchParams {
  const query = new URLSearchParams({
    picture: scene.picture,
    ratio: String(scene.ratio),
    mask: scene.strategy,
    seed: String(scene.seed),
  });
  const code = scene.painted ? encodeMask(scene.painted) : scene.code;
  if (code) query.set('painted', code);
  if (scene.view !== FIRST_SCENE.view) query.set('view', scene.view);
  if (scene.third !== FIRST_SCENE.third) query.set('show', scene.third);
  return query;
}

/** The scene's painted mask for a model of that many patches; undefined where it has none that fits. */
export function paintedMask(scene: Scene, patches: number): Uint8Array | undefined {
  if (scene.painted) return scene.painted.length === patches ? scene.painted : undefined;
  return scene.code === undefined ? undefined : decodeMask(scene.code, patches);
}

/** The scene as options of the package. */
export function reconstructOptions(scene: Scene): ReconstructOptions {
  const { painted, ratio, strategy, seed, view } = scene;
  return painted ? { mask: painted, view } : { maskRatio: ratio, strategy, seed, view };
}

function number(text: string | null, min: number, max: number): number | undefined {
  if (text === null || text === '') return undefined;
  const value = Number(text);
  return Number.isFinite(value) ? Math.min(Math.max(value, min), max) : undefined;
}

function oneOf<T extends string>(text: string | null, choices: readonly T[], otherwise: T): T {
  return choices.find((choice) => choice === text) ?? otherwise;
}
