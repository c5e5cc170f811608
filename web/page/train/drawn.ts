const SIDE = 96;

/** Small, quick and repeatable; quality is of no concern here. */
function generator(seed: number): () => number {
  let state = seed | 0;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** A picture of a soft ground with discs, bars and stripes on it; the same for the same seed. */
export function drawnPicture(seed: number): ImageData {
  const random = generator(seed);
  const between = (low: number, high: number) => low + random() * (high - low);
  const color = () => `hsl(${between(0, 360)} ${between(20, 80)}% ${between(15, 85)}%)`;
  const canvas = new OffscreenCanvas(SIDE, SIDE);
  const context = canvas.getContext('2d', {
    willReadFrequently: true,
  }) as OffscreenCanvasRenderingContext2D;

  const ground = context.createLinearGradient(between(0, SIDE), 0, between(0, SIDE), SIDE);
  ground.addColorStop(0, color());
  ground.addColorStop(1, color());
  context.fillStyle = ground;
  context.fillRect(0, 0, SIDE, SIDE);

  const shapes = 2 + Math.floor(random() * 4);
  for (let i = 0; i < shapes; i++) {
    context.save();
    context.translate(between(0, SIDE), between(0, SIDE));
    context.rotate(between(0, Math.PI));
    context.fillStyle = color();
    const size = between(SIDE / 8, SIDE / 2.5);
    const kind = random();
    if (kind < 0.45) {
      context.beginPath();
      context.ellipse(0, 0, size, size * between(0.5, 1), 0, 0, 2 * Math.PI);
      context.fill();
    } else if (kind < 0.8) {
      context.fillRect(-size, -size / 2, 2 * size, size * between(0.4, 1.4));
    } else {
      const width = between(3, 8);
      for (let x = -SIDE; x < SIDE; x += 2 * width) context.fillRect(x, -size, width, 2 * size);
    }
    context.restore();
  }
  return context.getImageData(0, 0, SIDE, SIDE);
}
