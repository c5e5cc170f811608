import { expect, test } from '@playwright/test';
import { inFormWords } from '../../web/page/train/form-words.ts';

for (const [message, worded] of [
  [
    '5 steps in a row had no finite loss; try a smaller lr, or a larger warmupSteps, or clipGrad 1',
    '5 steps in a row had no finite loss; try a smaller “Learning rate”, or a larger “Warm-up steps”, or “Clip gradients at” 1',
  ],
  [
    'try a smaller batchSize and a larger gradAccum (the effective batch stays), or recompute, or precision f32',
    'try a smaller “Pictures a step” and a larger “Batches added up” (the effective batch stays), or “Less memory, more work”, or “Half precision (f16)” switched off',
  ],
] as const) {
  test(`advice uses the form's words: ${worded.slice(0, 40)}`, () => {
    const error = Object.assign(new Error(message), { name: 'Diverged' });
    expect(inFormWords(error)).toMatchObject({ name: 'Diverged', message: worded });
  });
}
