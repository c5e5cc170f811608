/** The element with this id. Its absence is a mistake in the page. */
export function byId<T extends Element = HTMLElement>(id: string): T {
  const found = document.getElementById(id);
  if (!found) throw new Error(`The page has no element “${id}”.`);
  return found as unknown as T;
}

/** Makes an element with properties and children. */
export function element<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  properties: Partial<HTMLElementTagNameMap[K]> = {},
  ...children: (Node | string)[]
): HTMLElementTagNameMap[K] {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

/** The radio buttons of one name. */
export class Choice<T extends string> {
  readonly #inputs: HTMLInputElement[];

  constructor(name: string, changed?: (value: T) => void) {
    this.#inputs = [...document.querySelectorAll<HTMLInputElement>(`input[name="${name}"]`)];
    for (const input of this.#inputs) input.addEventListener('change', () => changed?.(this.value));
  }

  get value(): T {
    return this.#inputs.find((input) => input.checked)?.value as T;
  }

  set value(value: T) {
    for (const input of this.#inputs) input.checked = input.value === value;
  }

  /** Whether `value` is one of the choices. */
  has(value: string | undefined): value is T {
    return this.#inputs.some((input) => input.value === value);
  }

  set disabled(disabled: boolean) {
    for (const input of this.#inputs) input.disabled = disabled;
  }
}

/** Calls `taken` with the files that are chosen through a button and its input; also with those that were
 * chosen before the page was ready. */
export function onFiles(button: string, input: string, taken: (files: File[]) => void): void {
  const chooser = byId<HTMLInputElement>(input);
  const take = () => {
    const files = [...(chooser.files ?? [])];
    chooser.value = '';
    if (files.length > 0) taken(files);
  };
  byId(button).addEventListener('click', () => chooser.click());
  chooser.addEventListener('change', take);
  // Once whoever waits for them is whole.
  queueMicrotask(take);
}

/** Tells a screen reader; nothing is seen. */
export function announce(text: string): void {
  byId('live').textContent = text;
}

/** Hands bytes to the visitor as a file. */
export function saveFile(blob: Blob, name: string): void {
  const url = URL.createObjectURL(blob);
  element('a', { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}
