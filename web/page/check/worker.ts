/** Runs the check away from the page's thread, with a module that has both the shaders and their twins. */

import open, { Check } from '../../wasm/webmae_check.js';
import type { Report, Verdict } from './report.ts';

const tell = (report: Report) => postMessage(report);

async function check(): Promise<void> {
  await open({ module_or_path: new URL('../../wasm/webmae_check_bg.wasm', import.meta.url) });
  const check = await Check.open();
  const { cases } = check;
  for (let done = 0; ; done++) {
    tell({ cases, done, verdicts: JSON.parse(check.verdicts) as Verdict[] });
    if (done === cases.length) return;
    await check.next();
  }
}

check().catch((error: unknown) =>
  tell({ failure: error instanceof Error ? error.message : String(error) }),
);
