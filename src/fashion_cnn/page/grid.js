/* Grids of numbers: how they are laid out, coloured and written, and which cell has the focus. */

import { element, trimmed } from "./kit.js";
import { cssColour } from "./paint.js";

/** A number as short as its cell: two decimals below 1, else one, and no zero before the point. */
const short = (value) =>
  trimmed(value, Math.abs(value) < 0.995 ? 2 : 1).replace(/^(−?)0\./, "$1.");

/** Colour a cell by its number, of which `strongest` gets the strongest colour, and write it. */
export function fill(cell, value, kind, strongest, text = short(value)) {
  const { color, isDark } = cssColour(kind, value, strongest);
  cell.style.setProperty("background-color", color);
  cell.classList.toggle("on-dark", isDark);
  cell.classList.toggle("zero", value === 0);
  if (!(cell instanceof HTMLInputElement)) cell.textContent = text;
}

export function clear(cell, text = "") {
  cell.style.removeProperty("background-color");
  cell.classList.remove("on-dark", "zero");
  cell.textContent = text;
}

const ROLES = { gridcell: ["grid", "row"], cell: ["table", "row"], field: ["group", null] };

/** Lay out a grid for assistive technology: rows of cells. One of its gridcells takes the focus;
 *  a cell cannot; a field can be typed in. */
export function layOut(grid, side, before, after, role = "gridcell") {
  const layout = [side, before, after].join(), all = before + side + after;
  if (grid.dataset.layout === layout) return;
  Object.assign(grid.dataset, { layout, columns: all });
  grid.style.setProperty("--columns", all);
  const places = Array.from({ length: all }, (_, n) => n - before);
  const isPadding = (place) => place < 0 || place >= side;
  const cellOf = (row, column) => {
    if (isPadding(row) || isPadding(column)) {
      return element("div", { className: "cell padding", ariaHidden: "true" });
    }
    const common = { className: "cell", dataset: { row, column } };
    if (role === "field") return element("input", { ...common, autocomplete: "off" });
    return element("div", { ...common, role, ...role === "gridcell" && { tabIndex: -1 } });
  };
  const lineOf = (row) => element("div",
    { className: "line", role: ROLES[role][1], ariaHidden: isPadding(row) || null },
    ...places.map((column) => cellOf(row, column)));
  grid.role = ROLES[role][0];
  grid.replaceChildren(...places.map(lineOf));
}

export const cellAt = (grid, { row, column }) =>
  grid.querySelector(`[data-row="${row}"][data-column="${column}"]`);

/** Let one cell of a grid take the focus. */
export function focusCell(cell) {
  for (const other of cell.closest(".grid").querySelectorAll("[tabindex='0']")) other.tabIndex = -1;
  cell.tabIndex = 0;
  cell.focus();
}
