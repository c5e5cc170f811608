// What the tests' blank page has beside the package.

import * as webmae from '/lib/js/index.js';

const classes = new Map(Object.entries(webmae));

// What is meant where a test does not say it: a software adapter is never taken by itself.
const { device } = document.documentElement.dataset;
const { MAE, Trainer } = webmae;
for (const [Class, name, place] of [
  [MAE, 'load', 1],
  [Trainer, 'create', 0],
  [Trainer, 'resume', 1],
]) {
  const open = Class[name];
  Class[name] = (...parts) => {
    parts[place] = { device, ...parts[place] };
    return open.apply(Class, parts);
  };
}

Object.assign(window, { webmae, picture, failure, digest });

/** A picture with structure in it, the same for the same size. */
function picture(width, height) {
  const image = new ImageData(width, height);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const [u, v] = [x / width, y / height];
      const disc = Math.hypot(u - 0.4, v - 0.5) < 0.3;
      const stripe = Math.floor(8 * (u + v)) % 2;
      image.data.set(
        [disc ? 220 : 255 * u, disc ? 90 : 120 * v + 60 * stripe, 200 * v, 255],
        4 * (y * width + x),
      );
    }
  }
  return image;
}

/** How a promise is rejected; nothing if it is not. */
async function failure(promise) {
  try {
    await promise;
  } catch (error) {
    const { name, message } = error;
    const Class = classes.get(name);
    return { name, message, typed: typeof Class === 'function' && error instanceof Class };
  }
}

/** SHA-256 in hexadecimal, to compare large arrays. */
async function digest(array) {
  const bytes = new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
  const hash = new Uint8Array(await crypto.subtle.digest('SHA-256', bytes));
  return Array.from(hash, (byte) => byte.toString(16).padStart(2, '0')).join('');
}
