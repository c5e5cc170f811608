/** Checks and measures away from the page's thread, with a module that has both the shaders and their twins. */

import { becomesLost } from '../../package/engine/loss.ts';
import { DeviceLost } from '../../package/errors.ts';
import open, { Check, Device } from '../../wasm/webmae_check.js';
import { here } from './here.ts';
import {
  complete,
  type Message,
  type Now,
  type Report,
  type Task,
  type Verdict,
} from './report.ts';

/** Milliseconds: measured to its limit, a device tells late that it is lost. */
const LOSS_DELAY = 5000;

const tell = (message: Message) => postMessage(message);

addEventListener('message', ({ data }: MessageEvent<Task>) => {
  run(data).catch((error: unknown) => {
    const { name, message } = error instanceof Error ? error : new Error(String(error));
    tell({ kind: 'failure', name, message });
  });
});

async function run(task: Task): Promise<void> {
  await open({ module_or_path: new URL('../../wasm/webmae_check_bg.wasm', import.meta.url) });
  const device = await Device.open();
  try {
    if (task.task === 'check') await check(device);
    else await measure(device, task.seconds);
  } catch (error) {
    throw (await becomesLost(device, LOSS_DELAY)) ? new DeviceLost() : error;
  }
}

async function check(device: Device): Promise<void> {
  const check = new Check(device);
  const { cases } = check;
  for (let done = 0; ; done++) {
    tell({ kind: 'checked', cases, done, verdicts: JSON.parse(check.verdicts) as Verdict[] });
    if (done === cases.length) return;
    await check.next();
  }
}

async function measure(device: Device, seconds: number): Promise<void> {
  const around = await here();
  const date = new Date().toISOString().slice(0, 10);
  await device.measure(seconds, (event, json) => {
    if (event === 'now') tell({ kind: 'now', now: JSON.parse(json) as Now });
    else tell({ kind: 'report', report: complete(JSON.parse(json) as Report, around, date) });
  });
}
