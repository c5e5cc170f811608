// npm run bench:browser [-- W1 W3 --train --batch-size 8 …]: how fast the reference workloads run in
// Chromium. The browser's counterpart of `webmae bench`.

import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { chromium } from '@playwright/test';
import { args, executablePath } from './chromium.mjs';

const USAGE = `npm run bench:browser -- [W1|W2|W3|W4 …] [options]

  --forward          only the forward pass
  --train            only the training step
  --batch-size N     images per batch [default: the workload's]
  --rounds N         timed passes [default: 10]
  --warmup N         passes before them [default: 2]
  --device DEVICE    webgpu, or cpu: the processor through WebAssembly, on one thread [default: webgpu]
  --adapter NAME     Chromium's WebGPU adapter, e.g. swiftshader (the processor) [default: Chromium's choice]
  --json             print JSON`;

/** Preset, and batches of a forward pass and of a training step. */
const WORKLOADS = {
  W1: ['tiny', 64, 64],
  W2: ['small', 16, 16],
  W3: ['vit-b', 1, 4],
  W4: ['plain', 8, 8],
};
const ADAM = { lr: 1e-4, beta1: 0.9, beta2: 0.95, eps: 1e-8 };
/** Script and WebAssembly for each device; Chromium has relaxed SIMD. */
const MODULES = {
  webgpu: ['/webmae.js', '/webmae_bg.wasm'],
  cpu: ['/webmae_cpu.js', '/webmae_cpu_relaxed_bg.wasm'],
};
const TYPES = { '.js': 'text/javascript', '.wasm': 'application/wasm' };
const folder = path.resolve(import.meta.dirname, '../wasm');

function usageError(message) {
  console.error(`error: ${message}\n\n${USAGE}`);
  process.exit(2);
}

function parse() {
  const flag = { type: 'boolean', default: false };
  const text = { type: 'string' };
  try {
    return parseArgs({
      allowPositionals: true,
      options: {
        forward: flag,
        train: flag,
        json: flag,
        help: { ...flag, short: 'h' },
        'batch-size': text,
        rounds: { ...text, default: '10' },
        warmup: { ...text, default: '2' },
        adapter: text,
        device: { ...text, default: 'webgpu' },
      },
    });
  } catch (error) {
    return usageError(error.message);
  }
}

function count(values, name, least) {
  if (values[name] === undefined) return undefined;
  const number = Number(values[name]);
  if (Number.isInteger(number) && number >= least) return number;
  return usageError(`--${name}: ${values[name]} is no whole number of at least ${least}`);
}

/** Serves the module, and an empty page beside it. */
function serve() {
  const server = createServer((request, response) => {
    const name = path.basename(new URL(request.url, 'http://localhost').pathname);
    const type = TYPES[path.extname(name)];
    try {
      const body = type
        ? readFileSync(path.join(folder, name))
        : '<!doctype html><title>webmae</title>';
      response.writeHead(200, { 'content-type': type ?? 'text/html' }).end(body);
    } catch {
      response.writeHead(404).end();
    }
  });
  return new Promise((resolve) => server.listen(0, '127.0.0.1', () => resolve(server)));
}

/** In the page: milliseconds of each pass, the device it ran on, and what it was. */
async function measure({ module: [script, binary], preset, batch, adam, rounds, warmup }) {
  const wasm = await import(script);
  await wasm.default({ module_or_path: binary });
  const device = await wasm.Device.open();
  if ('tune' in device) await device.tune();
  const workload = new wasm.Workload(device, undefined, JSON.stringify(preset), batch, adam);
  const values = (length, value) => Float32Array.from({ length }, value);
  const images = values(workload.imageValues, (_, i) => Math.sin(i));
  const noise = values(workload.noiseValues, () => Math.random());
  const times = [];
  for (let round = 0; round < warmup + rounds; round++) {
    const began = performance.now();
    await workload.run(images, noise);
    times.push(performance.now() - began);
  }
  const { dispatches } = workload;
  workload.free();
  const { name, kind } = JSON.parse(device.info);
  device.free();
  return { adapter: { name, kind }, dispatches, first: times[0], times: times.slice(warmup) };
}

function median(values) {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length / 2;
  return (sorted[Math.floor(middle)] + sorted[Math.ceil(middle) - 1]) / 2;
}

async function main() {
  const { values, positionals } = parse();
  if (values.help) return console.log(USAGE);
  const names =
    positionals.length > 0 ? positionals.map((name) => name.toUpperCase()) : ['W1', 'W3'];
  const unknown = names.find((name) => !(name in WORKLOADS));
  if (unknown)
    usageError(`there is no workload ${unknown}; one of ${Object.keys(WORKLOADS).join(', ')}`);
  if (values.forward && values.train) usageError('--forward and --train exclude each other');
  const rounds = count(values, 'rounds', 1);
  const warmup = count(values, 'warmup', 1);
  const module = MODULES[values.device];
  if (!module) usageError(`--device: ${values.device} is neither webgpu nor cpu`);
  const batchSize = count(values, 'batch-size', 1);
  const modes = ['forward', 'train'].filter(
    (mode) => values[mode] || values.forward === values.train,
  );

  const server = await serve();
  const browser = await chromium.launch({
    executablePath: executablePath(),
    args: args(values.device === 'cpu' ? 'none' : values.adapter),
  });
  const results = [];
  try {
    for (const name of names) {
      const [preset, ...batches] = WORKLOADS[name];
      for (const mode of modes) {
        const train = mode === 'train';
        const batch = batchSize ?? batches[Number(train)];
        // A page of its own: nothing is left of the pass before.
        const page = await browser.newPage();
        await page.goto(`http://127.0.0.1:${server.address().port}`);
        const adam = train ? JSON.stringify(ADAM) : undefined;
        const measured = await page.evaluate(measure, {
          module,
          preset,
          batch,
          adam,
          rounds,
          warmup,
        });
        await page.close();
        const result = { workload: name, mode, batch, median: median(measured.times), ...measured };
        results.push(result);
        if (!values.json) print(result, results.length === 1);
      }
    }
  } finally {
    await browser.close();
    server.close();
  }
  if (values.json) console.log(JSON.stringify(results, undefined, 2));
}

function print({ adapter, workload, mode, batch, median, times, first, dispatches }, isFirst) {
  if (isFirst) {
    console.log(`${adapter.name} (${adapter.kind})\n`);
    console.log('workload     batch   ms/pass      range    images/s   first ms   dispatches');
  }
  const range = `${Math.min(...times).toFixed(0)}–${Math.max(...times).toFixed(0)}`;
  const cells = [
    `${workload} ${mode}`.padEnd(11),
    String(batch).padStart(7),
    median.toFixed(1).padStart(10),
    range.padStart(11),
    ((1e3 * batch) / median).toFixed(1).padStart(12),
    first.toFixed(0).padStart(11),
    String(dispatches).padStart(13),
  ];
  console.log(cells.join(''));
}

await main();
