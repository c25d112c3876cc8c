/* The view `convolution`: one window over a small picture, and everything it computes. */

import { convolve, convolveAt, outputSize, paddedCells, pool, poolAt } from "./arithmetic.js";
import { cellAt, clear, fill, fitted, focusCell, layOut, target } from "./grid.js";
import {
  $, button, cellOf, clamp, counted, element, largestOf, math, onDrag, pointIn, trimmed,
} from "./kit.js";
import { drawLens } from "./lens.js";
import { paint } from "./paint.js";
import { createPlayer, showLegend } from "./playing.js";
import { FILTERS, LEARNED, PICTURES, kernelOf, pixelsOf } from "./samples.js";
import { onChange, start, t } from "./shell.js";
import words from "./words/convolution.js";

const WINDOWS = [2, 3, 5];
const SOFT = 1.3; // the largest number gets a colour short of the strongest
const STEP_TIME = 650; // ms; long enough to follow a sum

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
  seen: new Set(), // of positions, counted row by row
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
const input = () => (poolsMap() ? featureMap() : state.picture);
const outputMap = () => (isPooling() ? pool(input(), state.operation, options()) : featureMap());
const outputSide = () => {
  const { window, stride, padding } = options();
  return outputSize(input().length, window, stride, padding);
};
const paddings = () => {
  const { window, stride, padding } = options();
  return paddedCells(input().length, window, stride, padding);
};
const keyOf = ({ row, column }) => `${row},${column}`;
/** How numbers are coloured: grey in [0, 1], or violet and orange up to the largest of them. */
const colouring = (isGrey, map) =>
  (isGrey ? { kind: "grey", largest: 1, strongest: 1 }
    : { kind: "signed", largest: largestOf(map.flat()), strongest: SOFT * largestOf(map.flat()) });

// Moving.

/** Put the window at a position, or at the nearest one that there is. */
function moveTo({ row, column }) {
  const last = outputSide() - 1;
  state.at = { row: clamp(row, 0, last), column: clamp(column, 0, last) };
  state.seen.add(indexOf(state.at));
}

const indexOf = ({ row, column }) => row * outputSide() + column;

/** Move the window some positions on; return false where there is none. */
function moveBy(steps) {
  const index = indexOf(state.at) + steps;
  if (index < 0 || index >= outputSide() ** 2) return false;
  moveTo(cellOf(index, outputSide()));
  return true;
}

/** Fill the map up to a position, as if it had been played so far. */
function seeUpTo(index) {
  state.seen = new Set(Array(index + 1).keys());
}

function goTo(index) {
  moveTo(cellOf(index, outputSide()));
  seeUpTo(index);
}

function toTheFirst() {
  state.seen.clear();
  moveTo({ row: 0, column: 0 });
}

const player = createPlayer(STEP_TIME, {
  first: ["to the first", toTheFirst],
  back: ["step back", () => moveBy(-1)],
  play: [],
  forward: ["step", () => moveBy(1)],
  last: ["fill the map", () => goTo(outputSide() ** 2 - 1)],
}, {
  rewind: () => {
    if (indexOf(state.at) === outputSide() ** 2 - 1) toTheFirst();
  },
  advance: () => moveBy(1),
  render,
  reading,
});
const { act } = player;

/** Change what determines the map's size, keeping as much of it filled as before. */
function resize(change) {
  const wasPlaying = player.isPlaying();
  act(() => {
    const isFull = state.seen.size === outputSide() ** 2;
    change();
    fit();
    moveTo(state.at);
    seeUpTo(isFull ? outputSide() ** 2 - 1 : indexOf(state.at));
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

function setFilter(name) {
  state.filter = name;
  state.kernel = kernelOf(name, state.sliding.convolution.window);
  state.bias = LEARNED[name]?.bias ?? 0;
}

// Controls.

const filterName = (name) =>
  (LEARNED[name] ? t("filter learned", { number: name }) : t(`filter ${name}`));
const inRows = (numbers, side) =>
  Array.from({ length: side }, (_, row) => numbers.slice(row * side, (row + 1) * side));

/** Groups of buttons, one of which is pressed: by id, their values, what they are called, which is
 *  chosen, which can be, and what choosing one does. `pictureOf` draws them: rows, and if grey. */
const GROUPS = {
  operation: {
    values: ["convolution", "max", "average"],
    nameOf: (operation) => t(`operation ${operation}`), chosen: () => state.operation,
    choose: (operation) => resize(() => Object.assign(state, { operation, hand: "move" })),
  },
  window: {
    values: WINDOWS, nameOf: (window) => `${window}×${window}`, chosen: () => options().window,
    isPossible: (window) => options().padding === "same" || window <= input().length,
    choose: (window) => resize(() => {
      options().window = window;
      if (!isPooling()) setFilter(kernelOf(state.filter, window) ? state.filter : "vertical");
    }),
  },
  stride: {
    values: [1, 2, 3], nameOf: String, chosen: () => options().stride,
    choose: (stride) => resize(() => { options().stride = stride; }),
  },
  padding: {
    values: ["same", "valid"], nameOf: (padding) => t(`padding ${padding}`),
    chosen: () => options().padding,
    isPossible: (padding) => padding === "same" || options().window <= input().length,
    choose: (padding) => resize(() => { options().padding = padding; }),
  },
  pictures: {
    values: ["map", ...Object.keys(PICTURES)], nameOf: (name) => t(`picture ${name}`),
    chosen: () => (poolsMap() ? "map" : state.pictureName),
    isPossible: (name) => name !== "map" || featureMap().length > 1,
    pictureOf: (name) => (name === "map" ? [featureMap(), false] : [pixelsOf(name), true]),
    choose: (name) => resize(() => {
      if (isPooling()) state.poolsMap = name === "map";
      if (name === "map") return;
      state.picture = pixelsOf(name);
      state.pictureName = name;
      if (name === "empty") state.hand = "draw";
    }),
  },
  filters: {
    values: FILTERS, nameOf: filterName, chosen: () => state.filter,
    isPossible: (name) => kernelOf(name, options().window),
    pictureOf: (name) => {
      const kernel = kernelOf(name, options().window) ?? kernelOf(name, 3);
      return [inRows(kernel, Math.sqrt(kernel.length)), false];
    },
    choose: (name) => act(() => setFilter(name)),
  },
  hand: {
    values: ["move", "draw"], nameOf: (hand) => t(`hand ${hand}`), chosen: () => state.hand,
    choose: (hand) => act(() => { state.hand = hand; }),
  },
  brushes: {
    values: [0, 0.5, 1], nameOf: (value) => t("brush of", { value }), chosen: () => state.brush,
    pictureOf: (brush) => [[[brush]], true],
    choose: (brush) => act(() => { state.brush = brush; }),
  },
};

function buildControls() {
  for (const [id, { values, nameOf, pictureOf, choose }] of Object.entries(GROUPS)) {
    $(id).replaceChildren(...values.map((value) => {
      const name = nameOf(value), common = { dataset: { value }, onclick: () => choose(value) };
      return pictureOf
        ? button({ className: "thumb", ariaLabel: name, title: name, ...common }, element("canvas"))
        : button({ textContent: name, ...common });
    }));
  }
}

function renderControls() {
  for (const [id, { values, chosen, isPossible, pictureOf }] of Object.entries(GROUPS)) {
    values.forEach((value, n) => {
      const node = $(id).children[n];
      node.ariaPressed = value === chosen();
      node.disabled = isPossible && !isPossible(value);
      if (!pictureOf) return;
      const [rows, isGrey] = pictureOf(value), { kind, strongest } = colouring(isGrey, rows);
      paint(node.firstElementChild, rows.flat(), rows[0].length, kind, strongest);
    });
  }
  $("pictures").firstElementChild.hidden = !isPooling();
  $("filters").hidden = isPooling();
  $("brushes").hidden = state.hand !== "draw";
  $("drawing").hidden = poolsMap();
}

// Grids.

const placeOf = (cell) => ({ row: Number(cell.dataset.row), column: Number(cell.dataset.column) });

function setPixel({ row, column }, value) {
  act(() => {
    state.picture[row][column] = value;
    state.pictureName = null;
  });
}

/** Return the value that a key gives a pixel; undefined if the key is none of those. */
function typed(key, value) {
  if (/^\d$/.test(key)) return Number(key) / 10;
  const tenths = Math.round(value * 10);
  return {
    " ": value > 0 ? 0 : 1, Enter: value > 0 ? 0 : 1,
    "+": Math.min(tenths + 1, 10) / 10, "-": Math.max(tenths - 1, 0) / 10,
  }[key];
}

$("picture").addEventListener("keydown", (event) => {
  const cell = event.target.closest("[data-row]");
  if (!cell) return;
  const place = placeOf(cell), next = target(event, place, input().length);
  const value = typed(event.key, state.picture[place.row]?.[place.column]);
  if (next) focusCell(cellAt($("picture"), next));
  else if (value !== undefined && !poolsMap()) setPixel(place, value);
  else return;
  event.preventDefault();
});

for (const id of ["map", "frame"]) {
  $(id).addEventListener("keydown", (event) => {
    const next = target(event, state.at, outputSide());
    if (!next) return;
    event.preventDefault();
    act(() => moveTo(next));
    if (id === "map") cellAt($("map"), state.at).focus();
  });
}
$("map").addEventListener("click", (event) => {
  const cell = event.target.closest("[data-row]");
  if (cell) act(() => moveTo(placeOf(cell)));
});

// The pointer on the picture: it drags the window, or draws.

/** Where a pointer is on the padded picture, in cells. */
function pointed(event) {
  const [before, after] = paddings();
  return { ...pointIn($("picture"), event, before + input().length + after), before };
}

let grip = null; // where in the window it is held

/** Put the window where a pointer holds it by its grip. */
function dragTo(event) {
  const { x, y } = pointed(event), steps = (cells) => Math.round(cells / options().stride);
  const next = { row: steps(y - grip.y), column: steps(x - grip.x) };
  if (keyOf(next) !== keyOf(state.at)) act(() => moveTo(next));
}

onDrag($("frame"), {
  press: (event) => {
    if (player.isPlaying()) act();
    const { x, y } = pointed(event), { row, column } = corner();
    grip = { x: x - column, y: y - row };
    $("frame").classList.add("held");
  },
  drag: dragTo,
  lift: () => $("frame").classList.remove("held"),
});

let ink = null; // what the pointer draws with while it is down

function draw(event) {
  const { x, y, before } = pointed(event);
  const place = { row: Math.floor(y) - before, column: Math.floor(x) - before };
  const value = state.picture[place.row]?.[place.column];
  if (value === undefined) return;
  // On a pixel that has the brush's grey already, the brush is an eraser.
  ink ??= value === state.brush ? 0 : state.brush;
  if (value !== ink) setPixel(place, ink);
}

onDrag($("picture"), {
  press: (event) => {
    const half = options().window / 2, isDrawing = state.hand === "draw";
    grip = { x: half, y: half };
    (isDrawing ? draw : dragTo)(event);
    return isDrawing;
  },
  drag: (event) => ink !== null && draw(event),
  lift: () => { ink = null; },
});

// Weights and bias.

function layOutWeights(window) {
  const grid = $("weights");
  if (grid.childElementCount === window * window) return;
  grid.style.setProperty("--columns", window);
  grid.replaceChildren(...Array.from({ length: window * window }, (_, k) => {
    const field = element("input", {
      className: "cell", type: "number", step: "0.1", min: -9, max: 9, dataset: { k },
    });
    field.oninput = () => act(() => {
      state.kernel = state.kernel.with(k, numberIn(field));
      state.filter = "own";
    });
    field.onblur = () => render();
    return field;
  }));
}

const numberIn = (field) => clamp(field.valueAsNumber || 0, -9, 9);

/** Write a number into its field, unless it is being typed there. */
function write(field, value) {
  if (field !== document.activeElement) field.value = Math.round(value * 100) / 100;
}

$("bias").oninput = () => act(() => { state.bias = numberIn($("bias")); });
$("bias").onblur = () => render();
$("relu").onchange = () => act(() => { state.isRelu = $("relu").checked; });

$("position").oninput = () => act(() => goTo(Number($("position").value) - 1));

// Pointing at one of the products shows which pixel and which weight it is of.
for (const type of ["pointerover", "focusin"]) {
  document.querySelector(".equation").addEventListener(type, (event) => {
    mark(event.target.closest("[data-k]")?.dataset.k);
  });
}
for (const type of ["pointerleave", "focusout"]) {
  document.querySelector(".equation").addEventListener(type, () => mark());
}

function mark(k) {
  for (const cell of document.querySelectorAll(".marked")) cell.classList.remove("marked");
  for (const cell of document.querySelectorAll(`.equation [data-k="${k}"]`)) {
    cell.classList.add("marked");
  }
  cellAt($("picture"), computed().cells[k] ?? {})?.classList.add("marked");
}

// Drawing.

function computed() {
  return isPooling()
    ? poolAt(input(), state.at, state.operation, options())
    : convolveAt(state.picture, state.at, state.kernel, state.bias, options());
}

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
  const { window, stride, padding } = options();
  const picture = input(), side = picture.length, map = outputMap(), places = map.length;
  document.documentElement.dataset.operation = mode();
  renderControls();
  renderPicture(picture);
  renderWindow(picture, window);
  renderMap(map);

  const [before, after] = paddings();
  const unseen = padding === "valid" ? side - (places - 1) * stride - window : 0;
  const around = before + after ? t("padding around", { before, after }) : t("no padding");
  const index = indexOf(state.at) + 1;
  const texts = {
    title: t(`${mode()} title`),
    lead: t(`${mode()} lead`),
    "input-title": t(poolsMap() ? "map" : "picture"),
    "input-size": `${side}×${side}`,
    "work-title": t(isPooling() ? "in the window" : "filter"),
    "work-size": `${window}×${window}`,
    "output-title": t(isPooling() ? "pooled map" : "map"),
    "output-size": `${places}×${places}`,
    "input-note": unseen ? t(unseen === 1 ? "unseen one" : "unseen", { count: unseen }) : around,
    "formula-name": t(`formula ${padding}`, { n: side, k: window, s: stride }),
    reading: reading(),
  };
  for (const [id, text] of Object.entries(texts)) $(id).textContent = text;
  $("formula").replaceChildren(...formula(side, window, stride, padding, places));
  Object.assign($("position"), {
    max: places ** 2, value: index,
    ariaValueText: t("position of", { position: index, count: places ** 2 }),
  });
  player.show();
  renderLens();
}

/** The first row and column of the padded picture under the window. */
function corner() {
  const { stride } = options();
  return { row: state.at.row * stride, column: state.at.column * stride };
}

function renderLens() {
  const [before, after] = paddings(), columns = before + input().length + after;
  drawLens(columns, options().window, corner(), cellAt($("map"), state.at));
}

function renderPicture(picture) {
  const grid = $("picture"), [before, after] = paddings();
  layOut(grid, picture.length, before, after, true);
  grid.ariaLabel = t(poolsMap() ? "map" : "picture grid");
  const { kind, strongest } = colouring(!poolsMap(), picture);
  for (const cell of grid.querySelectorAll("[data-row]")) {
    const place = placeOf(cell), value = picture[place.row][place.column];
    fill(cell, value, kind, strongest);
    cell.ariaLabel = t("cell", { ...counted(place), value: trimmed(value) });
  }
  if (!grid.querySelector("[tabindex='0']")) cellAt(grid, { row: 0, column: 0 }).tabIndex = 0;
  grid.parentElement.classList.toggle("drawing", state.hand === "draw" && !poolsMap());

  const frame = $("frame"), { row, column } = corner();
  for (const [name, n] of Object.entries({
    columns: before + picture.length + after, size: options().window, row, column,
  })) frame.style.setProperty(`--${name}`, n);
  frame.ariaLabel = t("frame", counted(state.at));
}

function renderWindow(picture, window) {
  const { cells, products, sum, count, output } = computed();
  const colours = colouring(!poolsMap(), picture);
  for (const id of ["under", "products"]) layOut($(id), window, 0, 0, false);
  $("under").ariaLabel = $("under-name").textContent = t(poolsMap() ? "values" : "pixels");
  $("products").ariaLabel = t("products");
  layOutWeights(window);
  document.querySelectorAll("#under .cell").forEach((cell, k) => {
    const { value, isPadding } = cells[k];
    cell.dataset.k = k;
    cell.classList.toggle("padding", isPadding);
    if (isPadding) {
      clear(cell);
      cell.textContent = isPooling() ? "" : "0";
    } else fill(cell, value, colours.kind, colours.strongest, fitted(value, window));
    cell.ariaLabel = isPadding ? t("padding cell") : trimmed(value);
    const isTaken = state.operation === "max" && !isPadding && value === output;
    cell.classList.toggle("taken", isTaken);
  });
  $("output").textContent = trimmed(isPooling() ? output : rectified(output));
  $("hint").textContent = isPooling() ? t(`hint ${state.operation}`)
    : t(LEARNED[state.filter] ? "hint learned" : `hint ${state.filter}`, { number: state.filter });
  if (isPooling()) {
    const isMax = state.operation === "max";
    $("pool-term").textContent = t(isMax ? "largest of" : "mean of", { count });
    $("pool-working").textContent = isMax ? trimmed(output) : `${trimmed(sum)} ÷ ${count}`;
    return;
  }
  const strongest = SOFT * largestOf(state.kernel);
  document.querySelectorAll("#products .cell").forEach((cell, k) => {
    cell.dataset.k = k;
    fill(cell, products[k], "signed", strongest, fitted(products[k], window));
  });
  document.querySelectorAll("#weights .cell").forEach((field, k) => {
    fill(field, state.kernel[k], "signed", strongest);
    write(field, state.kernel[k]);
    field.ariaLabel = t("weight", counted(cellOf(k, window)));
  });
  write($("bias"), state.bias);
  $("relu").checked = state.isRelu;
  $("sum-term").textContent = t("sum of", { count: cells.length });
  $("sum").textContent = trimmed(sum);
  $("relu-output").textContent = state.isRelu ? `max(0, ${trimmed(output)})` : "";
}

function renderMap(map) {
  const grid = $("map"), isGrey = isPooling() && !state.poolsMap;
  const { kind, largest, strongest } = colouring(isGrey, map);
  layOut(grid, map.length, 0, 0, true);
  grid.ariaLabel = t("map grid");
  for (const cell of grid.querySelectorAll("[data-row]")) {
    const place = placeOf(cell), value = map[place.row][place.column];
    const isSeen = state.seen.has(indexOf(place)), isHere = keyOf(place) === keyOf(state.at);
    if (isSeen) fill(cell, value, kind, strongest);
    else clear(cell);
    cell.classList.toggle("here", isHere);
    cell.ariaSelected = isHere;
    cell.tabIndex = isHere ? 0 : -1;
    const spoken = isSeen ? trimmed(value) : t("not yet");
    cell.ariaLabel = t("cell", { ...counted(place), value: spoken });
  }
  showLegend(isGrey ? 0 : -largest, largest, kind, strongest, trimmed);
  $("legend").hidden = largest === 0;
  const seen = map.flat().map((value, n) => (state.seen.has(n) ? value : 0));
  paint($("mini"), seen, map.length, kind, strongest);
}

/** The size of the map, first with letters, then with numbers. */
function formula(n, k, s, padding, places) {
  const [mo, mn, mi] = ["mo", "mn", "mi"].map((tag) => (content) => math(tag, {}, content));
  const side = (size, window, stride) => (padding === "same"
    ? [mo("⌈"), size, mo("/"), stride, mo("⌉")]
    : [mo("⌊"), mo("("), size, mo("−"), window, mo(")"), mo("/"), stride, mo("⌋"), mo("+"), mn(1)]);
  return [
    math("math", {}, ...side(mi("n"), mi("k"), mi("s"))),
    math("math", {}, mo("="), ...side(mn(n), mn(k), mn(s)), mo("="), mn(places)),
  ];
}

start("convolution", words);
buildControls();
seeUpTo(indexOf(state.at));
render();
new ResizeObserver(renderLens).observe(document.querySelector(".stage"));
onChange(() => {
  buildControls();
  render();
});
