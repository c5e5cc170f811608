import { byId, element } from '../dom.ts';
import { photographs } from '../pictures.ts';
import { Plate, withoutHidden } from '../reconstruct/plate.ts';
import { nearest, prepared } from '../reconstruct/prepared.ts';

const SHOWN = 'coffee';

/** The figure, from a prepared reconstruction, and the credits of the photographs. */
export async function showAbout(): Promise<void> {
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
  const film = new Uint8Array(mask.length);
  const steps = [
    { name: 'The picture, in patches', content: { image: original, grid, film } },
    {
      name: 'What the encoder sees',
      content: { image: withoutHidden(original, mask, grid), grid, film: mask },
    },
    { name: 'What the decoder paints', content: { image: reconstruction, grid } },
  ];
  const [rows, columns] = grid;
  const hidden = mask.reduce((sum, one) => sum + one, 0);
  byId('about-figure')
    .querySelector('.about-steps')
    ?.replaceChildren(
      ...steps.map(({ name, content }) => {
        const canvas = element('canvas', { className: 'about-plate' });
        canvas.setAttribute('role', 'img');
        canvas.setAttribute('aria-label', name);
        new Plate(canvas).show(content);
        return element('div', {}, canvas, element('p', {}, name));
      }),
    );
  const caption = byId('about-figure').querySelector('figcaption') as HTMLElement;
  caption.textContent = `${rows} × ${columns} patches, ${hidden} of them hidden; made by the shipped model.`;
}
