/* Colours for numbers. Images are grey, as the data set is; every other number is violet if
 * positive and orange if negative, the stronger the larger, on the ground of the theme. */

import { clamp, element } from "./kit.js";
import { theme } from "./shell.js";

const STEPS = 255; // of each sign
const SCALES = {
  light: {
    positive: [[255, 255, 255], [216, 208, 238], [139, 112, 190], [84, 39, 136], [45, 0, 75]],
    negative: [[255, 255, 255], [254, 224, 182], [236, 146, 45], [179, 88, 6], [107, 48, 4]],
  },
  dark: {
    positive: [[24, 22, 30], [62, 43, 100], [120, 88, 190], [176, 152, 240], [240, 234, 255]],
    negative: [[24, 22, 30], [84, 46, 12], [168, 90, 14], [240, 150, 50], [255, 232, 200]],
  },
};
const tables = {};

function table(kind) {
  const { positive, negative } = SCALES[theme], power = kind === "maps" ? 0.6 : 1;
  const colourOf = (n) => {
    if (kind === "grey") return pack([n]);
    return between(n < 0 ? negative : positive, (Math.abs(n) / STEPS) ** power);
  };
  return tables[`${theme} ${kind}`] ??=
    Uint32Array.from({ length: 2 * STEPS + 1 }, (_, n) => colourOf(n - STEPS));
}

function between(stops, position) {
  const place = position * (stops.length - 1);
  const low = Math.min(Math.floor(place), stops.length - 2);
  return pack(stops[low].map((c, i) => c + (stops[low + 1][i] - c) * (place - low)));
}

/** Return a grey, or red, green and blue, and the opacity as ImageData has them in memory. */
export const pack = ([red, green = red, blue = red], opacity = 255) =>
  new Uint32Array(Uint8ClampedArray.of(red, green, blue, opacity).buffer)[0];

/** Return a function from a number to a packed colour; `largest` gets the strongest one.
 *  kind: "grey" (0 black, largest white), "signed" (violet and orange), or "maps", the same with
 *  the weaker ones brought out, for maps in which few values are large. */
export function colours(kind, largest = 1) {
  const scale = table(kind), factor = largest > 0 ? STEPS / largest : 0;
  return (value) => scale[STEPS + clamp(Math.round(value * factor), -STEPS, STEPS)];
}

/** Return a number's colour for CSS, and whether light text is legible on it. */
export function cssColour(kind, value, largest = 1) {
  const packed = colours(kind, largest)(value);
  const [red, green, blue] = [packed & 255, packed >> 8 & 255, packed >> 16 & 255];
  const [r, g, b] = [red, green, blue].map((part) => (part / 255) ** 2.2);
  return {
    color: `rgb(${red} ${green} ${blue})`,
    isDark: 0.2126 * r + 0.7152 * g + 0.0722 * b < 0.18, // where white and black contrast alike
  };
}

/** Paint values, row by row, on a canvas with one pixel for each; CSS enlarges it. */
export function paint(canvas, values, columns, colour = colours("grey")) {
  const rows = values.length / columns;
  Object.assign(canvas, { width: columns, height: rows });
  const picture = new ImageData(columns, rows), pixels = new Uint32Array(picture.data.buffer);
  for (let n = 0; n < values.length; n++) pixels[n] = colour(values[n]);
  canvas.getContext("2d").putImageData(picture, 0, 0);
  return canvas;
}

/** Return a scale of colours, to be shown: a number, the colours up to another, and that one. */
export function scaleOf(least, most, colour, write) {
  const steps = Array.from({ length: 101 }, (_, n) => least + (most - least) * (n / 100));
  return [write(least), paint(element("canvas"), steps, steps.length, colour), write(most)];
}
