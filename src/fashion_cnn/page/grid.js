/* Grids of numbers: how they are laid out, coloured, written and walked through by keys. */

import { cssColour } from "./paint.js";
import { element, number } from "./shell.js";

export const SOFT = 1.3; // the largest number gets a colour short of the strongest

/** A number as short as its cell: two decimals below 1, else one. */
export const short = (value) => trimmed(value, Math.abs(value) < 0.995 ? 2 : 1);
export const trimmed = (value, digits = 2) => {
  const text = number(value, digits);
  return text.includes(".") ? text.replace(/\.?0+$/, "") : text;
};

/** Colour a cell by its number and write the number on it. */
export function fill(cell, value, kind, largest, text = short(value)) {
  const { color, isDark } = cssColour(kind, value, kind === "signed" ? SOFT * largest : largest);
  cell.style.setProperty("background-color", color);
  cell.classList.toggle("on-dark", isDark);
  cell.classList.toggle("zero", value === 0);
  if (cell instanceof HTMLInputElement) return;
  cell.textContent = text;
}

/** In a window of 25 cells there is no room for the zero before the point. */
export const fitted = (value, window) =>
  (window > 3 ? short(value).replace(/^(−?)0\./, "$1.") : short(value));

export function clear(cell) {
  cell.style.removeProperty("background-color");
  cell.classList.remove("on-dark", "zero");
  cell.textContent = "";
}

/** Lay out a grid for assistive technology: rows of cells, one of which takes the focus. */
export function layOut(grid, side, before, after, isInteractive) {
  const layout = [side, before, after, isInteractive].join();
  if (grid.dataset.layout === layout) return;
  grid.dataset.layout = layout;
  grid.style.setProperty("--columns", before + side + after);
  const padding = () => {
    const cell = element("div", { className: "cell padding" });
    cell.setAttribute("aria-hidden", "true");
    return cell;
  };
  const rows = [];
  for (let row = -before; row < side + after; row++) {
    const line = element("div", { className: "line" });
    if (row < 0 || row >= side) {
      line.setAttribute("aria-hidden", "true");
      line.append(...Array.from({ length: before + side + after }, padding));
    } else {
      line.role = "row";
      line.append(...Array.from({ length: before }, padding));
      for (let column = 0; column < side; column++) {
        const cell = element("div", { className: "cell" });
        cell.role = isInteractive ? "gridcell" : "cell";
        Object.assign(cell.dataset, { row, column });
        if (isInteractive) cell.tabIndex = -1;
        line.append(cell);
      }
      line.append(...Array.from({ length: after }, padding));
    }
    rows.push(line);
  }
  grid.role = isInteractive ? "grid" : "table";
  grid.replaceChildren(...rows);
}

export const cellAt = (grid, row, column) =>
  grid.querySelector(`[data-row="${row}"][data-column="${column}"]`);

const ARROWS = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };

/** Where a key leads from a cell in a square of so many cells, or null. */
export function target(event, { row, column }, side) {
  if (ARROWS[event.key]) {
    const [down, right] = ARROWS[event.key];
    return { row: row + down, column: column + right };
  }
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
