/* The article below the network: six ideas, each with a picture that answers to the pointer. */

import { cellsUnder, convolve, paddedCells, pool } from "./arithmetic.js";
import {
  $, add, clamp, counted, element, largestOf, ledTo, number, percent, pointIn,
} from "./kit.js";
import { colours, paint } from "./paint.js";
import { FILTERS, kernelOf, pixelsOf } from "./samples.js";
import { t } from "./shell.js";

const LOGITS = [2, 1, -1];
const BOOT = pixelsOf("boot"), EDGE = kernelOf("vertical", 3);
const FRAGMENTS = {
  window: () => sliding({ window: 3, stride: 1, padding: "valid" }, EDGE),
  padding: () => sliding({ window: 3, stride: 1, padding: "same" }, EDGE),
  stride: () => sliding({ window: 3, stride: 2, padding: "valid" }, EDGE),
  pooling: () => sliding({ window: 2, stride: 2, padding: "valid" }),
  maps: manyMaps,
  softmax: threeShares,
};

/** Write the article, in the language in use, for a network with so many filters in conv1. */
export function writeArticle(filters) {
  const values = { filters, products: 9 * filters };
  $("article").replaceChildren(element("h2", { textContent: t("article") }),
    ...Object.entries(FRAGMENTS).map(([name, fragment]) => element("section", {},
      element("div", {}, element("h3", { textContent: t(`${name} heading`) }),
        element("p", { textContent: t(`${name} text`, values) })), fragment())));
}

function painted(values, kind = "signed") {
  const colour = colours(kind, kind === "grey" ? 1 : largestOf(values.flat()));
  const canvas = paint(element("canvas"), values.flat(), values[0].length, colour);
  return element("div", { className: "grid-picture" }, canvas);
}

/** Make a picture and what a window makes of it; a place in the result shows its window. */
function sliding(options, kernel = null) {
  const made = kernel ? convolve(BOOT, kernel, 0, options) : pool(BOOT, "max", options);
  const side = BOOT.length, { window, stride, padding } = options;
  const [before, after] = paddedCells(side, window, stride, padding);
  const [under, over] = [painted(BOOT, "grey"), painted(made, kernel ? "signed" : "grey")];
  const [seen, cell] = [under, over].map((node) => node.appendChild(element("i")));
  const sum = element("figcaption");
  under.style.padding = `${before}em ${after}em ${after}em ${before}em`;
  let at;
  const mark = (node, row, column, size) => Object.assign(node.style, {
    left: `${column}em`, top: `${row}em`, width: `${size}em`, height: `${size}em`,
  });
  const move = (next) => {
    at = next;
    const { row, column } = at, cells = cellsUnder(BOOT, at, options);
    mark(seen, row * stride, column * stride, window);
    mark(cell, row, column, 1);
    const terms = cells.map(({ value }, n) => (kernel ? value * kernel[n] : value));
    const used = terms.filter((term) => !kernel || term).map((term) => number(term, 1));
    const result = number(made[row][column], 1);
    sum.textContent = kernel ? `${used.join(" + ").replaceAll("+ −", "− ") || 0} = ${result}`
      : `max(${used.join(", ")}) = ${result}`;
    over.ariaLabel = `${t("position", counted(at))}: ${sum.textContent}`;
  };
  Object.assign(over, { tabIndex: 0, role: "img" });
  over.onpointermove = over.onpointerdown = (event) => {
    const { x, y } = pointIn(over, event, made.length);
    const inside = (cell) => clamp(Math.floor(cell), 0, made.length - 1);
    move({ row: inside(y), column: inside(x) });
  };
  over.onkeydown = (event) => move(ledTo(event, at, made.length) ?? at);
  under.style.width = `${side + before + after}em`;
  over.style.width = `${made.length}em`;
  move({ row: 1, column: Math.min(5, made.length - 1) });
  return element("figure", { className: "fragment" }, under, "→", over, sum);
}

function manyMaps() {
  const options = { window: 3, stride: 1, padding: "same" };
  const maps = FILTERS.map((name) => convolve(BOOT, kernelOf(name, 3), 0, options).map((row) =>
    row.map((value) => Math.max(value, 0))));
  return element("figure", { className: "fragment small" }, painted(BOOT, "grey"), "→",
    ...maps.map((map) => painted(map)));
}

function threeShares() {
  const outputs = LOGITS.map(() => element("span"));
  const inputs = LOGITS.map((value, n) => element("input", {
    type: "range", min: -4, max: 4, step: 0.1, value, ariaLabel: `${t("logit")} ${n + 1}`,
  }));
  const show = () => {
    const logits = inputs.map(({ value }) => Number(value)), powers = logits.map(Math.exp);
    outputs.forEach((output, n) => {
      const share = percent(powers[n] / powers.reduce(add));
      output.textContent = `e^${number(logits[n], 1)} ≈ ${number(powers[n])} → ${share}`;
    });
  };
  show();
  return element("figure", { className: "fragment shares", oninput: show },
    ...inputs.flatMap((input, n) => [input, outputs[n]]));
}
