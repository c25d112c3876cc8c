/* Small pictures and filters to try. */

import { cellOf } from "./kit.js";

// Pixels in tenths, row by row; "." is 0 and "A" is 1.
export const PICTURES = {
  shirt: ".88..88. 99988999 99999999 9.9999.9 ..9999.. ..8888.. ..9999.. ..7777..",
  trousers: "..77777.. ..99999.. ..99999.. ..99.99.. ..99.99.. ..99.99.. ..99.99.. ..88.88.. "
    + "..77.77..",
  boot: "....888. ....999. ....999. ...9999. .9999999 99999999 66666666 ........",
  block: "....... ....... ..AAA.. ..AAA.. ..AAA.. ....... .......",
  diagonal: "A.... .A... ..A.. ...A. ....A",
  empty: "....... ....... ....... ....... ....... ....... .......",
};

// Of the first layer of the network that comes with the package, to two decimals; counted from 1.
export const LEARNED = {
  2: { kernel: [-0.37, -0.02, 0.29, -0.43, -0.01, 0.42, -0.3, 0.04, 0.4], bias: 0 },
  4: { kernel: [0.32, -0.56, 0.32, 0.33, -0.69, 0.33, 0.3, -0.61, 0.3], bias: -0.02 },
  5: { kernel: [-0.57, -0.67, -0.29, 0.67, 0.68, 0.52, -0.28, -0.57, -0.77], bias: 0.02 },
  15: { kernel: [-0.74, -0.01, 0.88, -0.08, 0, -0.07, 0.81, 0.02, -0.8], bias: 0 },
};
const DESIGNED = { // a weight by its place, from the middle of the window
  vertical: ({ column }) => Math.sign(-column),
  horizontal: ({ row }) => Math.sign(-row),
  blur: (_, window) => 1 / window ** 2,
  sharpen: ({ row, column }) => [5, -1][Math.abs(row) + Math.abs(column)] ?? 0,
};
export const FILTERS = [...Object.keys(DESIGNED), ...Object.keys(LEARNED)];

/** The pixels of a picture, row by row, in [0, 1]. */
export const pixelsOf = (name) => PICTURES[name].split(" ").map((row) =>
  [...row].map((c) => (c === "A" ? 1 : Number(c) / 10 || 0)));

/** The weights of a named filter for a window, row by row; null where there are none. */
export function kernelOf(name, window) {
  if (name === "sharpen" && window === 2) return null; // which has no middle
  if (!DESIGNED[name]) return window === 3 ? LEARNED[name]?.kernel ?? null : null;
  const middle = (window - 1) / 2;
  return Array.from({ length: window ** 2 }, (_, k) => {
    const { row, column } = cellOf(k, window);
    return DESIGNED[name]({ row: row - middle, column: column - middle }, window);
  });
}
