/* Two light strokes over the view `convolution`: from the window to its enlargement, and from the
 * products to the cell of the map that they make. */

import { $ } from "./kit.js";

/** Draw them for a window of so many cells at a place of the picture, and for a cell of the map. */
export function drawLens(columns, size, { row, column }, cell) {
  if (!$("lens").checkVisibility()) return; // on a phone, where the parts are below each other
  const origin = $("lens").getBoundingClientRect();
  const within = (node) => {
    const { left, top, width, height } = node.getBoundingClientRect();
    const [x, y] = [left - origin.left, top - origin.top];
    return { left: x, top: y, right: x + width, bottom: y + height };
  };
  const [picture, enlarged, made] = [$("picture"), $("under"), cell].map(within);
  // Where the window will be: it may still be gliding.
  const side = (picture.right - picture.left) / columns;
  const right = picture.left + (column + size) * side;
  const top = picture.top + row * side, bottom = top + size * side;
  $("lens").querySelector(".beam").setAttribute("d",
    `M${right},${top} L${enlarged.left},${enlarged.top} V${enlarged.bottom} L${right},${bottom} Z`);

  // From the last grid of the equation to the map, and there between two rows of cells.
  const grids = [...document.querySelectorAll(".equation .grid")];
  const result = within(grids.findLast((grid) => grid.checkVisibility())), map = within($("map"));
  const start = result.right + 6, middle = (result.top + result.bottom) / 2;
  const end = map.left - 4, gap = made.top - 1, bend = (end - start) / 2;
  $("lens").querySelector(".ray").setAttribute("d", `M${start},${middle}
    C${start + bend},${middle} ${end - bend},${gap} ${end},${gap} H${made.left}`);
}
