import type { Grid } from './plate.ts';

/** What happens on a canvas of patches, by pointer or keyboard. */
export interface PatchHandlers {
  /** A press on a patch, or space on the one under the keyboard's cursor. */
  press(patch: number): void;
  /** The pointer is still down and went over these patches. */
  drag?(patches: number[]): void;
  /** The end of a press. */
  release?(): void;
  /** The keyboard's cursor came to a patch, or left the canvas. */
  move(patch: number | undefined): void;
}

const ARROWS: Record<string, [number, number]> = {
  ArrowUp: [-1, 0],
  ArrowDown: [1, 0],
  ArrowLeft: [0, -1],
  ArrowRight: [0, 1],
};

/** Turns pointer and keyboard events on a canvas into patches. */
export class PatchPointer {
  readonly #canvas: HTMLCanvasElement;
  readonly #grid: () => Grid;
  readonly #handlers: PatchHandlers;
  #cursor = 0;
  #last: [number, number] | undefined;
  enabled = true;

  constructor(canvas: HTMLCanvasElement, grid: () => Grid, handlers: PatchHandlers) {
    this.#canvas = canvas;
    this.#grid = grid;
    this.#handlers = handlers;
    canvas.addEventListener('pointerdown', (event) => this.#down(event));
    canvas.addEventListener('pointermove', (event) => this.#move(event));
    for (const end of ['pointerup', 'pointercancel'] as const) {
      canvas.addEventListener(end, () => this.#up());
    }
    canvas.addEventListener('keydown', (event) => this.#key(event));
    canvas.addEventListener('focus', () => {
      if (this.enabled && canvas.matches(':focus-visible')) handlers.move(this.#inGrid());
    });
    canvas.addEventListener('blur', () => handlers.move(undefined));
  }

  #down(event: PointerEvent): void {
    if (!this.enabled || event.button !== 0) return;
    this.#canvas.setPointerCapture(event.pointerId);
    this.#last = this.#place(event);
    this.#cursor = this.#patch(this.#last);
    this.#handlers.move(undefined);
    this.#handlers.press(this.#cursor);
  }

  #move(event: PointerEvent): void {
    if (!this.#last) return;
    const patches = new Set<number>();
    for (const one of [...event.getCoalescedEvents(), event]) {
      const place = this.#place(one);
      for (const between of line(this.#last, place)) patches.add(this.#patch(between));
      this.#last = place;
    }
    this.#handlers.drag?.([...patches]);
  }

  #up(): void {
    if (!this.#last) return;
    this.#last = undefined;
    this.#handlers.release?.();
  }

  #key(event: KeyboardEvent): void {
    if (!this.enabled || event.ctrlKey || event.metaKey || event.altKey) return;
    const arrow = ARROWS[event.key];
    const [rows, columns] = this.#grid();
    if (arrow) {
      const cursor = this.#inGrid();
      const row = clamp(Math.floor(cursor / columns) + arrow[0], rows);
      const column = clamp((cursor % columns) + arrow[1], columns);
      this.#cursor = row * columns + column;
      this.#handlers.move(this.#cursor);
    } else if (event.key === ' ' || event.key === 'Enter') {
      this.#handlers.press(this.#inGrid());
      this.#handlers.release?.();
    } else {
      return;
    }
    event.preventDefault();
  }

  /** The cursor, on a patch that a model of another size has as well. */
  #inGrid(): number {
    const [rows, columns] = this.#grid();
    return Math.min(this.#cursor, rows * columns - 1);
  }

  #place(event: PointerEvent): [number, number] {
    const box = this.#canvas.getBoundingClientRect();
    const [rows, columns] = this.#grid();
    return [
      clamp(Math.floor(((event.clientY - box.top) / box.height) * rows), rows),
      clamp(Math.floor(((event.clientX - box.left) / box.width) * columns), columns),
    ];
  }

  #patch([row, column]: [number, number]): number {
    return row * this.#grid()[1] + column;
  }
}

function clamp(value: number, count: number): number {
  return Math.min(Math.max(value, 0), count - 1);
}

/** The places between two, so that a quick stroke has no gaps. */
function line(
  [row, column]: [number, number],
  [toRow, toColumn]: [number, number],
): [number, number][] {
  const steps = Math.max(Math.abs(toRow - row), Math.abs(toColumn - column), 1);
  return Array.from({ length: steps + 1 }, (_, i) => [
    Math.round(row + ((toRow - row) * i) / steps),
    Math.round(column + ((toColumn - column) * i) / steps),
  ]);
}
