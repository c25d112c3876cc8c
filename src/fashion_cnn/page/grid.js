/* Grids of numbers: how they are laid out, coloured, written and walked through by keys. */

import { ARROWS, clamp, element, trimmed } from "./kit.js";
import { cssColour } from "./paint.js";

/** A number as short as its cell: two decimals below 1, else one. */
const short = (value) => trimmed(value, Math.abs(value) < 0.995 ? 2 : 1);

/** In a window of 25 cells there is no room for the zero before the point. */
export const fitted = (value, window) =>
  (window > 3 ? short(value).replace(/^(−?)0\./, "$1.") : short(value));

/** Colour a cell by its number, of which `strongest` gets the strongest colour, and write it. */
export function fill(cell, value, kind, strongest, text = short(value)) {
  const { color, isDark } = cssColour(kind, value, strongest);
  cell.style.setProperty("background-color", color);
  cell.classList.toggle("on-dark", isDark);
  cell.classList.toggle("zero", value === 0);
  if (!(cell instanceof HTMLInputElement)) cell.textContent = text;
}

export function clear(cell) {
  cell.style.removeProperty("background-color");
  cell.classList.remove("on-dark", "zero");
  cell.textContent = "";
}

/** Lay out a grid for assistive technology: rows of cells, one of which takes the focus. */
export function layOut(grid, side, before, after, isInteractive) {
  const layout = [side, before, after, isInteractive].join(), all = before + side + after;
  if (grid.dataset.layout === layout) return;
  grid.dataset.layout = layout;
  grid.style.setProperty("--columns", all);
  const [role, focus] = isInteractive ? ["gridcell", { tabIndex: -1 }] : ["cell", {}];
  const padding = (length) => Array.from({ length }, () =>
    element("div", { className: "cell padding", ariaHidden: "true" }));
  const rows = Array.from({ length: all }, (_, n) => {
    const row = n - before;
    if (row < 0 || row >= side) {
      return element("div", { className: "line", ariaHidden: "true" }, ...padding(all));
    }
    const cells = Array.from({ length: side }, (__, column) =>
      element("div", { className: "cell", role, dataset: { row, column }, ...focus }));
    return element("div", { className: "line", role: "row" },
      ...padding(before), ...cells, ...padding(after));
  });
  grid.role = isInteractive ? "grid" : "table";
  grid.replaceChildren(...rows);
}

export const cellAt = (grid, { row, column }) =>
  grid.querySelector(`[data-row="${row}"][data-column="${column}"]`);

/** Where a key leads from a cell in a square of so many cells, or null. */
export function target(event, { row, column }, side) {
  const [down, right] = ARROWS[event.key] ?? [];
  const clip = (n) => clamp(n, 0, side - 1);
  if (right !== undefined) return { row: clip(row + down), column: clip(column + right) };
  if (event.key === "Home") return { row: event.ctrlKey ? 0 : row, column: 0 };
  if (event.key === "End") return { row: event.ctrlKey ? side - 1 : row, column: side - 1 };
  return null;
}

/** Let one cell of a grid take the focus. */
export function focusCell(cell) {
  for (const other of cell.closest(".grid").querySelectorAll("[tabindex='0']")) other.tabIndex = -1;
  cell.tabIndex = 0;
  cell.focus();
}
