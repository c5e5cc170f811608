import { draw, type PlateContent } from './plate.ts';

const SIDE = 640;
const MARGIN = 40;
const GAP = 20;
const CAPTION = 56;

/** The plates side by side with a caption, as a PNG. */
export function drawSheet(plates: PlateContent[], caption: string): Promise<Blob> {
  const [first] = plates;
  const ratio = first ? first.image.height / first.image.width : 1;
  const height = Math.round(SIDE * ratio);
  const canvas = new OffscreenCanvas(
    2 * MARGIN + plates.length * SIDE + (plates.length - 1) * GAP,
    2 * MARGIN + height + CAPTION,
  );
  const context = canvas.getContext('2d') as OffscreenCanvasRenderingContext2D;
  const style = getComputedStyle(document.documentElement);
  context.fillStyle = style.getPropertyValue('--paper');
  context.fillRect(0, 0, canvas.width, canvas.height);
  plates.forEach((content, i) => {
    const plate = new OffscreenCanvas(SIDE, height);
    draw(plate.getContext('2d') as OffscreenCanvasRenderingContext2D, content, SIDE, height);
    context.drawImage(plate, MARGIN + i * (SIDE + GAP), MARGIN);
  });
  context.fillStyle = style.getPropertyValue('--ink');
  context.font = `24px ${style.getPropertyValue('--mono')}`;
  context.textBaseline = 'bottom';
  context.fillText(caption, MARGIN, canvas.height - MARGIN);
  return canvas.convertToBlob({ type: 'image/png' });
}
