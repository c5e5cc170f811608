/** Options on their way into WebAssembly, which knows them and refuses others. */

import { InvalidOption } from './errors.ts';

/** JSON of options. Numbers that JSON has no form for would otherwise become `null`, that is, absent.
 *
 * @throws {InvalidOption} for a number that is not finite. */
export function toJson(options: object): string {
  return JSON.stringify(options, (name, value: unknown) => {
    if (typeof value === 'number' && !Number.isFinite(value)) {
      throw new InvalidOption(`${name}: ${value} is no finite number.`);
    }
    return value;
  });
}
