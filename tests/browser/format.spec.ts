import { expect, test } from '@playwright/test';
import { lossMark } from '../../web/page/format.ts';

test('marks of the loss are short, however large or small it is', () => {
  for (const [value, mark] of [
    [0, '0'],
    [0.5, '0.5'],
    [0.30000000000000004, '0.3'],
    [0.0125, '0.0125'],
    [0.00012345, '1.2e-4'],
    [1234.5678, '1235'],
    [12345678, '1.2e+7'],
    [-3.4e38, '-3.4e+38'],
  ] as const) {
    expect(lossMark(value)).toBe(mark);
    expect(mark.length).toBeLessThanOrEqual(8);
  }
});
