import card from '../../../models/photos-96.md?raw';
import { byId, element } from '../dom.ts';
import { photographs } from '../pictures.ts';
import { Plate, withoutHidden } from '../reconstruct/plate.ts';
import { nearest, prepared } from '../reconstruct/prepared.ts';

const SHOWN = 'raccoon';

/** The model card, the credits of the photographs, and the figure from a prepared reconstruction. */
export async function showAbout(): Promise<void> {
  byId('model-card').textContent = card;
  const credits = await photographs();
  byId('credits').replaceChildren(
    ...credits.map(({ title, author, licence, source, url }) =>
      element(
        'li',
        {},
        `${title}: ${author}, ${licence}. From `,
        element('a', { href: url }, source),
        '.',
      ),
    ),
  );

  const made = nearest(await prepared(SHOWN).catch(() => []), 0.75);
  if (!made) return;
  const { grid, mask, original, reconstruction } = made;
  const plate = (id: string) => new Plate(byId<HTMLCanvasElement>(id));
  plate('about-original').show({ image: original, grid, film: new Uint8Array(mask.length) });
  plate('about-masked').show({ image: withoutHidden(original, mask, grid), grid, film: mask });
  plate('about-reconstruction').show({ image: reconstruction, grid });
}
