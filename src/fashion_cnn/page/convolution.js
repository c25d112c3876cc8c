/* The view `convolution`: one window over a small picture, and everything it computes. */

import { convolve, convolveAt, outputSize, paddedCells, pool, poolAt } from "./arithmetic.js";
import { cellAt, clear, fill, focusCell, layOut } from "./grid.js";
import {
  $, button, cellOf, clamp, counted, element, largestOf, ledTo, makeOneStop, onDrag, pointIn,
  trimmed,
} from "./kit.js";
import { colours, paint, scaleOf } from "./paint.js";
import { createPlayer } from "./playing.js";
import { FILTERS, LEARNED, PICTURES, kernelOf, pixelsOf } from "./samples.js";
import { onChange, start, t } from "./shell.js";
import words from "./words/convolution.js";

const WINDOWS = [2, 3, 5];
const SOFT = 1.3; // the largest number gets a colour short of the strongest
const STEP_TIME = 650; // ms; long enough to follow a sum
const LARGEST_WEIGHT = 9;

const state = {
  operation: "convolution",
  picture: pixelsOf("shirt"),
  pictureName: "shirt",
  filter: "vertical",
  kernel: kernelOf("vertical", 3),
  bias: 0,
  isRelu: false,
  poolsMap: true, // whether pooling looks at the convolution's map or at the picture
  sliding: {
    convolution: { window: 3, stride: 1, padding: "same" },
    pooling: { window: 2, stride: 2, padding: "valid" }, // as Keras pools by default
  },
  at: { row: 3, column: 5 },
  filled: 0, // how many cells of the map, row by row
  hand: "move",
  brush: 1,
};

const isPooling = () => state.operation !== "convolution";
const mode = () => (isPooling() ? "pooling" : "convolution");
const options = () => state.sliding[mode()];
const rectified = (value) => (state.isRelu ? Math.max(0, value) : value);
const featureMap = () =>
  convolve(state.picture, state.kernel, state.bias, state.sliding.convolution)
    .map((row) => row.map(rectified));
const poolsMap = () => isPooling() && state.poolsMap;
const isDrawing = () => state.hand === "draw" && !poolsMap();
const input = () => (poolsMap() ? featureMap() : state.picture);
const outputMap = () => (isPooling() ? pool(input(), state.operation, options()) : featureMap());
const slid = (measure) => {
  const { window, stride, padding } = options();
  return measure(input().length, window, stride, padding);
};
const outputSide = () => slid(outputSize);
const computed = () => (isPooling() ? poolAt(input(), state.at, state.operation, options())
  : convolveAt(state.picture, state.at, state.kernel, state.bias, options()));
const indexOf = ({ row, column }) => row * outputSide() + column;
const isSame = (a, b) => a.row === b.row && a.column === b.column;
const placeOf = (cell) => ({ row: Number(cell.dataset.row), column: Number(cell.dataset.column) });
const cellsOf = (id) => [...$(id).querySelectorAll("[data-row]")];
/** How numbers are coloured: grey in [0, 1], or violet and orange up to the largest of them. */
const colouring = (isGrey, numbers) => (isGrey ? { kind: "grey", largest: 1, strongest: 1 }
  : { kind: "signed", largest: largestOf(numbers), strongest: SOFT * largestOf(numbers) });

// Moving.

/** Put the window at a position, or at the nearest one that there is. */
function moveTo({ row, column }) {
  const last = outputSide() - 1;
  state.at = { row: clamp(row, 0, last), column: clamp(column, 0, last) };
  state.filled = Math.max(state.filled, indexOf(state.at) + 1);
}

const player = createPlayer(STEP_TIME, {
  first: "to the first", back: "step back", play: null, forward: "step", last: "fill the map",
}, {
  where: () => {
    const at = indexOf(state.at), count = outputSide() ** 2;
    return { at, last: count - 1, text: t("position of", { position: at + 1, count }) };
  },
  step: (index) => moveTo(cellOf(index, outputSide())),
  goTo: (index) => { // as if the map had been filled up to there
    state.filled = 0;
    moveTo(cellOf(index, outputSide()));
  },
  render,
  reading,
});
const { act } = player;

/** Change what may determine the map's size, keeping as much of it filled as before. */
function resize(change) {
  const wasPlaying = player.isPlaying();
  act(() => {
    const isFull = state.filled === outputSide() ** 2;
    change();
    fit();
    state.filled = isFull ? outputSide() ** 2 : Math.min(state.filled, outputSide() ** 2);
    moveTo(state.at);
  });
  if (wasPlaying) player.play(); // on from here, or from the beginning
}

/** Where no whole window fits, take the largest that does; a map of one cell cannot be pooled. */
function fit() {
  if (poolsMap() && featureMap().length < 2) state.poolsMap = false;
  const own = options();
  if (own.padding === "valid" && own.window > input().length) {
    own.window = WINDOWS.findLast((window) => window <= input().length);
  }
}

function setFilter(filter) {
  const { window } = state.sliding.convolution, kernel = kernelOf(filter, window);
  state.filter = kernel ? filter : "vertical";
  state.kernel = kernel ?? kernelOf("vertical", window);
  state.bias = LEARNED[filter]?.bias ?? 0;
}

function setPicture(name) {
  if (isPooling()) state.poolsMap = name === "map";
  if (name === "map") return;
  state.picture = pixelsOf(name);
  state.pictureName = name;
  if (name === "empty") state.hand = "draw";
}

// Groups of buttons, of which one is pressed: the value that stands under `key` in `of()`, or that
// `chosen` tells. `pictureOf` draws one: numbers, whether they are grey, and their columns.

const GROUPS = {
  operation: {
    values: ["convolution", "max", "average"], nameOf: (value) => t(`operation ${value}`),
    choose: (operation) => Object.assign(state, { operation, hand: "move" }),
  },
  window: {
    values: WINDOWS, nameOf: (value) => `${value}×${value}`, of: options,
    isPossible: (window) => options().padding === "same" || window <= input().length,
    choose: (window) => {
      options().window = window;
      if (!isPooling()) setFilter(state.filter);
    },
  },
  stride: { values: [1, 2, 3], nameOf: String, of: options },
  padding: {
    values: ["same", "valid"], nameOf: (value) => t(`padding ${value}`), of: options,
    isPossible: (padding) => padding === "same" || options().window <= input().length,
  },
  pictures: {
    values: [...Object.keys(PICTURES), "map"], nameOf: (name) => t(`picture ${name}`),
    chosen: () => (poolsMap() ? "map" : state.pictureName), choose: setPicture,
    isPossible: (name) => name !== "map" || featureMap().length > 1,
    pictureOf: (name) => {
      const rows = name === "map" ? featureMap() : pixelsOf(name);
      return [rows.flat(), name !== "map", rows.length];
    },
  },
  filters: {
    values: FILTERS, key: "filter", choose: setFilter,
    nameOf: (name) => t(LEARNED[name] ? "filter learned" : `filter ${name}`, { number: name }),
    isPossible: (name) => kernelOf(name, options().window),
    pictureOf: (name) => {
      const kernel = kernelOf(name, options().window) ?? kernelOf(name, 3);
      return [kernel, false, Math.sqrt(kernel.length)];
    },
  },
  hand: { values: ["move", "draw"], nameOf: (value) => t(`hand ${value}`) },
  brushes: {
    values: [0, 0.5, 1], nameOf: (value) => t("brush of", { value }), key: "brush",
    pictureOf: (brush) => [[brush], true, 1],
  },
};

const buttons = Object.entries(GROUPS).flatMap(([id, group]) => group.values.map((value) => {
  const { of = () => state, key = id, pictureOf } = group;
  const { choose = () => { of()[key] = value; }, chosen = () => of()[key] } = group;
  const onclick = () => resize(() => choose(value));
  const node = $(id).appendChild(button({ dataset: { value }, onclick }));
  const picture = pictureOf && node.appendChild(element("canvas"));
  return { ...group, chosen, node, value, picture };
}));

function renderControls() {
  for (const { node, value, values, picture, isPossible = () => true, ...group } of buttons) {
    const chosen = group.chosen(), stop = values.includes(chosen) ? chosen : values[0];
    Object.assign(node, {
      ariaPressed: value === chosen, tabIndex: value === stop ? 0 : -1,
      disabled: !isPossible(value), ariaLabel: group.nameOf(value), title: group.nameOf(value),
    });
    if (picture) {
      const [numbers, isGrey, columns] = group.pictureOf(value);
      const { kind, strongest } = colouring(isGrey, numbers);
      paint(picture, numbers, columns, colours(kind, strongest));
    } else node.textContent = node.title;
  }
  $("pictures").lastElementChild.hidden = !isPooling();
  $("filters").hidden = isPooling();
  $("brushes").hidden = !isDrawing();
  $("hand").hidden = poolsMap();
}

// Keys on the grids.

/** Return the value that a key gives a pixel; undefined if the key is none of those. */
function typed(key, value) {
  if (/^\d$/.test(key)) return Number(key) / 10;
  const change = { "+": 0.1, "-": -0.1 }[key], other = value > 0 ? 0 : 1;
  if (change) return clamp(Math.round(10 * (value + change)) / 10, 0, 1);
  return { " ": other, Enter: other }[key];
}

function setPixel({ row, column }, value) {
  act(() => {
    state.picture[row][column] = value;
    state.pictureName = null;
  });
}

$("picture").onkeydown = (event) => {
  const place = placeOf(event.target), next = ledTo(event, place, input().length);
  const value = typed(event.key, input()[place.row]?.[place.column]);
  if (next) focusCell(cellAt($("picture"), next));
  if (value === undefined || poolsMap()) return;
  event.preventDefault();
  setPixel(place, value);
};

$("map").onkeydown = $("frame").onkeydown = (event) => {
  const next = ledTo(event, state.at, outputSide());
  if (!next) return;
  act(() => moveTo(next));
  if (event.target !== $("frame")) cellAt($("map"), state.at).focus();
};
$("map").onclick = ({ target: cell }) => {
  if (cell.dataset.row) act(() => moveTo(placeOf(cell)));
};

// The pointer on the picture: it drags the window, or draws.

let grip; // where in the window it is held
let ink; // what is drawn while the pointer is down

function follow(event) {
  const [before, after] = slid(paddedCells);
  const { x, y } = pointIn($("picture"), event, before + input().length + after);
  if (isDrawing()) {
    const place = { row: Math.floor(y) - before, column: Math.floor(x) - before };
    const value = state.picture[place.row]?.[place.column];
    // On a pixel that has the brush's grey already, the brush is an eraser.
    ink ??= value === state.brush ? 0 : state.brush;
    if (value !== undefined && value !== ink) setPixel(place, ink);
    return;
  }
  const { window, stride } = options(), { row, column } = corner();
  const isInside = [x - column, y - row].every((cells) => cells >= 0 && cells < window);
  grip ??= isInside ? [y - row, x - column] : [window / 2, window / 2];
  const steps = (cells) => Math.round(cells / stride);
  const next = { row: steps(y - grip[0]), column: steps(x - grip[1]) };
  if (!isSame(next, state.at)) act(() => moveTo(next));
}

onDrag($("board"), {
  press: (event) => {
    grip = ink = null;
    if (player.isPlaying()) act();
    follow(event);
  },
  drag: follow,
});

// Weights and bias.

/** Return the number in a field; one beyond the largest weight is replaced there. */
function numberIn(field) {
  const value = Number(field.value.replace("−", "-")) || 0;
  const allowed = clamp(value, -LARGEST_WEIGHT, LARGEST_WEIGHT);
  if (value !== allowed) field.value = trimmed(allowed);
  return allowed;
}

/** Write a number into its field, unless it is being typed there. */
function write(field, value) {
  if (field !== document.activeElement) field.value = trimmed(value);
}

function take({ target: field }) {
  const value = numberIn(field), k = cellsOf("weights").indexOf(field);
  const change = k < 0 ? { bias: value } : { kernel: state.kernel.with(k, value), filter: "own" };
  act(() => Object.assign(state, change));
}

for (const id of ["bias", "weights"]) {
  $(id).oninput = take;
  $(id).addEventListener("focusout", () => setTimeout(render));
  $(id).addEventListener("keydown", (event) => { // as in a field of numbers
    const tenths = { ArrowUp: 1, ArrowDown: -1 }[event.key];
    if (!tenths) return;
    event.preventDefault();
    event.target.value = trimmed(Math.round(10 * numberIn(event.target) + tenths) / 10);
    take(event);
  });
}
$("relu").onchange = () => act(() => { state.isRelu = $("relu").checked; });

// Pointing at one of the products shows which pixel and which weight it is of.

function mark({ target: cell }) {
  for (const other of document.querySelectorAll(".marked")) other.classList.remove("marked");
  if (!cell?.dataset.row) return;
  const place = placeOf(cell), k = place.row * options().window + place.column;
  cellAt($("picture"), computed().cells[k])?.classList.add("marked");
  for (const id of ["under", "weights", "products"]) cellAt($(id), place).classList.add("marked");
}
const equation = document.querySelector(".equation");
for (const type of ["pointerover", "focusin"]) equation.addEventListener(type, mark);
for (const type of ["pointerleave", "focusout"]) equation.addEventListener(type, () => mark({}));

// Drawing.

/** One or two sentences about what is under the window now. */
function reading() {
  const { cells, sum, count = cells.length, output } = computed();
  const values = {
    ...counted(state.at), count, sum: trimmed(sum), bias: trimmed(state.bias),
    output: trimmed(output),
  };
  const isPadded = cells.some((cell) => cell.isPadding);
  const keys = isPooling() ? [state.operation, isPadded && "left out"]
    : ["sum", state.bias && "bias", state.isRelu && output < 0 && "relu", isPadded && "padding"];
  return keys.filter(Boolean).map((key) => t(`reading ${key}`, values)).join(" ");
}

function render() {
  const { window: k, stride: s, padding } = options();
  const picture = input(), n = picture.length, map = outputMap(), side = map.length;
  document.documentElement.dataset.operation = mode();
  renderControls();
  const shades = colouring(!poolsMap(), picture.flat());
  renderPicture(picture, shades);
  renderWindow(shades, k);
  renderMap(map);

  const [before, after] = slid(paddedCells);
  const unseen = padding === "valid" ? n - (side - 1) * s - k : 0;
  const around = before + after ? t("padding around", { before, after }) : t("no padding");
  const texts = {
    title: t(`${mode()} title`),
    lead: t(`${mode()} lead`),
    "input-title": t(poolsMap() ? "map" : "picture"),
    "input-size": `${n}×${n}`,
    "work-title": t(isPooling() ? "in the window" : "filter"),
    "work-size": `${k}×${k}`,
    "output-title": t(isPooling() ? "pooled map" : "map"),
    "output-size": `${side}×${side}`,
    "input-note": unseen ? t(unseen === 1 ? "unseen one" : "unseen", { count: unseen }) : around,
    "formula-name": t(`formula ${padding}`, { n, k, s }),
    formula: padding === "same" ? `⌈n/s⌉ = ⌈${n}/${s}⌉ = ${side}`
      : `⌊(n−k)/s⌋+1 = ⌊(${n}−${k})/${s}⌋+1 = ${side}`,
  };
  for (const [id, text] of Object.entries(texts)) $(id).textContent = text;
  player.show();
  renderLens();
}

/** The first row and column of the padded picture under the window. */
function corner() {
  const { stride } = options();
  return { row: state.at.row * stride, column: state.at.column * stride };
}

/** Draw two light strokes: from the window to its enlargement, and from the products to the cell of
 *  the map that they make. */
function renderLens() {
  const lens = $("lens"), [beam, ray] = lens.children;
  if (!lens.checkVisibility()) return; // on a phone, where the parts are below each other
  const boxOf = (node) => node.getBoundingClientRect();
  const { x, y, width, height } = boxOf(lens);
  lens.setAttribute("viewBox", `${x} ${y} ${width} ${height}`); // all places are in the viewport
  const [picture, enlarged, map] = ["picture", "under", "map"].map((id) => boxOf($(id)));
  // Where the window will be: it may still be gliding.
  const cell = picture.width / $("picture").dataset.columns, { row, column } = corner();
  const side = options().window * cell, right = picture.left + column * cell + side;
  const top = picture.top + row * cell, bottom = top + side;
  beam.setAttribute("d",
    `M${right},${top} L${enlarged.left},${enlarged.top} V${enlarged.bottom} L${right},${bottom} Z`);

  // From the last grid of the equation to the map, and there between two rows of cells.
  const grids = [...equation.querySelectorAll(".grid")], made = boxOf(cellAt($("map"), state.at));
  const result = boxOf(grids.findLast((grid) => grid.checkVisibility()));
  const start = result.right + 6, middle = (result.top + result.bottom) / 2;
  const end = map.left - 4, gap = made.top - 1, bend = (end - start) / 2;
  ray.setAttribute("d", `M${start},${middle}
    C${start + bend},${middle} ${end - bend},${gap} ${end},${gap} H${made.left}`);
}

function renderPicture(picture, { kind, strongest }) {
  const grid = $("picture"), [before, after] = slid(paddedCells);
  layOut(grid, picture.length, before, after);
  grid.ariaLabel = t(poolsMap() ? "map" : "picture grid");
  for (const cell of cellsOf("picture")) {
    const place = placeOf(cell), value = picture[place.row][place.column];
    fill(cell, value, kind, strongest);
    cell.ariaLabel = t("cell", { ...counted(place), value: trimmed(value) });
  }
  if (!grid.querySelector("[tabindex='0']")) cellAt(grid, { row: 0, column: 0 }).tabIndex = 0;
  $("board").classList.toggle("drawing", isDrawing());
  const measures = { columns: grid.dataset.columns, size: options().window, ...corner() };
  for (const name in measures) $("frame").style.setProperty(`--${name}`, measures[name]);
  $("frame").ariaLabel = t("frame", counted(state.at));
}

function renderWindow({ kind, strongest }, window) {
  const { cells, products = [], sum, count = cells.length, output } = computed();
  const isMax = state.operation === "max";
  for (const id of ["under", "products"]) layOut($(id), window, 0, 0, "cell");
  layOut($("weights"), window, 0, 0, "field");
  $("under").ariaLabel = $("under-name").textContent = t(poolsMap() ? "values" : "pixels");
  cellsOf("under").forEach((cell, k) => {
    const { value, isPadding } = cells[k];
    cell.classList.toggle("padding", isPadding);
    cell.classList.toggle("taken", isMax && !isPadding && value === output);
    if (isPadding) clear(cell, isPooling() ? "" : "0");
    else fill(cell, value, kind, strongest);
    cell.ariaLabel = isPadding ? t("padding cell") : trimmed(value);
  });
  $("output").textContent = trimmed(isPooling() ? output : rectified(output));
  const hint = isPooling() ? state.operation : LEARNED[state.filter] ? "learned" : state.filter;
  $("hint").textContent = t(`hint ${hint}`, { number: state.filter });
  $("term").textContent = t(`term ${state.operation}`, { count });
  const divisor = state.operation === "average" ? ` ÷ ${count}` : "";
  $("working").textContent = trimmed(isMax ? output : sum) + divisor;
  const most = SOFT * largestOf(state.kernel);
  cellsOf("products").forEach((cell, k) => fill(cell, products[k] ?? 0, "signed", most));
  cellsOf("weights").forEach((field, k) => {
    fill(field, state.kernel[k] ?? 0, "signed", most);
    write(field, state.kernel[k] ?? 0);
    field.ariaLabel = t("weight", counted(placeOf(field)));
  });
  write($("bias"), state.bias);
  $("relu").checked = state.isRelu;
  $("relu-output").textContent = state.isRelu ? `max(0, ${trimmed(output)})` : "";
}

function renderMap(map) {
  const grid = $("map"), isGrey = isPooling() && !state.poolsMap;
  const { kind, largest, strongest } = colouring(isGrey, map.flat());
  layOut(grid, map.length, 0, 0);
  grid.ariaLabel = t("map grid");
  cellsOf("map").forEach((cell, n) => {
    const place = placeOf(cell), value = map[place.row][place.column];
    const isFilled = n < state.filled, isHere = isSame(place, state.at);
    if (isFilled) fill(cell, value, kind, strongest);
    else clear(cell);
    cell.ariaSelected = isHere;
    cell.tabIndex = isHere ? 0 : -1;
    const spoken = isFilled ? trimmed(value) : t("not yet");
    cell.ariaLabel = t("cell", { ...counted(place), value: spoken });
  });
  const colour = colours(kind, strongest);
  $("legend").replaceChildren(...scaleOf(isGrey ? 0 : -largest, largest, colour, trimmed));
  $("legend").hidden = largest === 0;
  const filled = map.flat().map((value, n) => (n < state.filled ? value : 0));
  paint($("mini"), filled, map.length, colour);
}

start("convolution", words);
moveTo(state.at);
for (const id of Object.keys(GROUPS)) makeOneStop($(id));
render();
new ResizeObserver(renderLens).observe(document.querySelector(".stage"));
onChange(render);
