/* The view `convolution`: one window over a small picture, and everything it computes. */

import { convolve, convolveAt, outputSize, paddedCells, pool, poolAt } from "./arithmetic.js";
import { cssColour, paint } from "./paint.js";
import { announce, element, isCalm, number, onChange, start, t } from "./shell.js";
import words from "./words/convolution.js";

// Pixels in tenths, so that a picture is legible here; "." is 0.
const PICTURES = {
  shirt: ["..7..7..", ".997799.", "99999999", "99.99.99", "..9999..", "..8888..", "..9999..", "..7777.."],
  trousers: [
    "..77777..", "..99999..", "..99999..", "..99.99..", "..99.99..", "..99.99..", "..99.99..",
    "..88.88..", "..77.77..",
  ],
  boot: ["..999...", "..979...", "..999...", "..9999..", ".999999.", "89999999", "55555555"],
  block: [".......", ".......", "..AAA..", "..AAA..", "..AAA..", ".......", "......."],
  diagonal: ["A....", ".A...", "..A..", "...A.", "....A"],
  empty: Array(7).fill("......."),
};
const WINDOWS = [2, 3, 5];
const STRIDES = [1, 2, 3];
const PADDINGS = ["same", "valid"];
const BRUSHES = [0, 0.5, 1];
const STEP_TIME = 650; // ms; long enough to follow a sum

// Of the first layer of the network that comes with the package, to two decimals.
const LEARNED = {
  1: { kernel: [-0.37, -0.02, 0.29, -0.43, -0.01, 0.42, -0.3, 0.04, 0.4], bias: 0 },
  3: { kernel: [0.32, -0.56, 0.32, 0.33, -0.69, 0.33, 0.3, -0.61, 0.3], bias: -0.02 },
  4: { kernel: [-0.57, -0.67, -0.29, 0.67, 0.68, 0.52, -0.28, -0.57, -0.77], bias: 0.02 },
  14: { kernel: [-0.74, -0.01, 0.88, -0.08, 0, -0.07, 0.81, 0.02, -0.8], bias: 0 },
};
const FILTERS = ["vertical", "horizontal", "blur", "sharpen", ...Object.keys(LEARNED)];

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
    pooling: { window: 2, stride: 2, padding: "valid" }, // Keras's own: a stride as long as the window
  },
  at: { row: 3, column: 1 },
  seen: new Set(),
  hand: "move",
  brush: 1,
  timer: null,
};

const $ = (id) => document.getElementById(id);

function pixelsOf(name) {
  return PICTURES[name].map((row) => [...row].map((c) => (c === "A" ? 1 : Number(c) / 10 || 0)));
}

/** The weights of a named filter for a window, row by row; null where there are none. */
function kernelOf(name, window) {
  const cells = Array.from({ length: window * window }, (_, k) => [Math.floor(k / window), k % window]);
  const middle = (window - 1) / 2;
  if (name === "vertical") return cells.map(([, column]) => Math.sign(middle - column));
  if (name === "horizontal") return cells.map(([row]) => Math.sign(middle - row));
  if (name === "blur") return cells.map(() => 1 / cells.length);
  if (name === "sharpen") {
    if (window === 2) return null; // which has no middle
    return cells.map(([row, column]) => [5, -1][Math.abs(row - middle) + Math.abs(column - middle)] ?? 0);
  }
  return window === 3 ? LEARNED[name].kernel : null;
}

// What follows from the state.

const isPooling = () => state.operation !== "convolution";
const options = () => state.sliding[isPooling() ? "pooling" : "convolution"];
const featureMap = () => rectified(
  convolve(state.picture, state.kernel, state.bias, state.sliding.convolution),
);
const rectified = (map) => (state.isRelu ? map.map((row) => row.map((v) => Math.max(0, v))) : map);
const poolsMap = () => isPooling() && state.poolsMap;
const input = () => (poolsMap() ? featureMap() : state.picture);
const outputMap = () => (isPooling() ? pool(input(), state.operation, options()) : featureMap());
const outputSide = () => {
  const { window, stride, padding } = options();
  return outputSize(input().length, window, stride, padding);
};
const keyOf = ({ row, column }) => `${row},${column}`;
const largestOf = (numbers) => Math.max(0, ...numbers.map(Math.abs));

/** A number as short as its cell: two decimals below 1, else one. */
const short = (value) => trimmed(value, Math.abs(value) < 0.995 ? 2 : 1);
const trimmed = (value, digits = 2) => {
  const text = number(value, digits);
  return text.includes(".") ? text.replace(/\.?0+$/, "") : text;
};

// Moving.

/** Put the window at a position, or at the nearest one that there is. */
function moveTo(row, column) {
  const last = outputSide() - 1;
  const within = (n) => Math.max(0, Math.min(last, n));
  state.at = { row: within(row), column: within(column) };
  state.seen.add(keyOf(state.at));
}

function moveBy(steps) {
  const side = outputSide();
  const index = state.at.row * side + state.at.column + steps;
  if (index < 0 || index >= side * side) return false;
  moveTo(Math.floor(index / side), index % side);
  return true;
}

/** Fill the map up to the window, as if it had been played so far. */
function seeUpTo({ row, column }) {
  const side = outputSide();
  state.seen = new Set();
  for (let n = 0; n <= row * side + column; n++) {
    state.seen.add(keyOf({ row: Math.floor(n / side), column: n % side }));
  }
}

function play() {
  if (state.timer) return pause();
  const side = outputSide();
  if (state.at.row * side + state.at.column === side * side - 1) {
    state.seen.clear();
    moveTo(0, 0);
  }
  state.timer = setInterval(() => {
    if (moveBy(1)) render();
    else pause();
  }, STEP_TIME);
  render();
}

function pause() {
  clearInterval(state.timer);
  state.timer = null;
  render();
  announce(reading());
}

/** Change something by hand: playing stops, everything is drawn anew and said. */
function act(change) {
  clearInterval(state.timer);
  state.timer = null;
  change();
  render();
  announce(reading());
}

/** Change what determines the map's size, keeping as much of it filled as before. */
function resize(change) {
  act(() => {
    const side = outputSide();
    const isFull = state.seen.size === side * side;
    change();
    fit();
    moveTo(state.at.row, state.at.column);
    seeUpTo(isFull ? { row: outputSide() - 1, column: outputSide() - 1 } : state.at);
  });
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

/** Fill a group with buttons of which one is chosen; `choose` gets its value. */
function choices(id, values, nameOf, choose) {
  $(id).replaceChildren(...values.map((value) => {
    const button = element("button", { type: "button", textContent: nameOf(value) });
    button.dataset.value = value;
    button.onclick = () => choose(value);
    return button;
  }));
}

/** The same with small pictures; `draw` paints one. */
function thumbs(id, values, labelOf, choose) {
  choices(id, values, () => "", choose);
  for (const button of $(id).children) {
    button.className = "thumb";
    button.append(element("canvas"));
    button.ariaLabel = button.title = labelOf(button.dataset.value);
  }
}

function press(id, chosen, isPossible = () => true) {
  for (const button of $(id).children) {
    button.setAttribute("aria-pressed", button.dataset.value === String(chosen));
    button.disabled = !isPossible(button.dataset.value);
  }
}

function filterName(name) {
  return LEARNED[name] ? t("filter learned", { number: name }) : t(`filter ${name}`);
}

function buildControls() {
  choices("operation", ["convolution", "max", "average"], (o) => t(`operation ${o}`), (operation) =>
    resize(() => { state.operation = operation; state.hand = "move"; }));
  choices("window", WINDOWS, (window) => `${window} × ${window}`, (window) =>
    resize(() => {
      options().window = window;
      if (!isPooling()) setFilter(kernelOf(state.filter, window) ? state.filter : "vertical");
    }));
  choices("stride", STRIDES, String, (stride) => resize(() => { options().stride = stride; }));
  choices("padding", PADDINGS, (padding) => t(`padding ${padding}`), (padding) =>
    resize(() => { options().padding = padding; }));
  thumbs("pictures", ["map", ...Object.keys(PICTURES)], (name) => t(`picture ${name}`), (name) =>
    resize(() => {
      state.poolsMap = name === "map";
      if (name === "map") return;
      state.picture = pixelsOf(name);
      state.pictureName = name;
      if (name === "empty") state.hand = "draw";
    }));
  thumbs("filters", FILTERS, filterName, (name) => act(() => setFilter(name)));
  choices("hand", ["move", "draw"], (hand) => t(`hand ${hand}`), (hand) =>
    act(() => { state.hand = hand; }));
  thumbs("brushes", BRUSHES, (brush) => t("brush of", { value: brush }), (brush) =>
    act(() => { state.brush = brush; }));
}

// Grids.

/** Colour a cell by its number and write the number on it. */
function fill(cell, value, kind, largest, text = short(value)) {
  const { color, isDark } = cssColour(kind, value, largest);
  cell.style.setProperty("background-color", color);
  cell.classList.toggle("on-dark", isDark);
  cell.classList.toggle("zero", value === 0);
  if (cell instanceof HTMLInputElement) return;
  cell.textContent = text;
}

function clear(cell) {
  cell.style.removeProperty("background-color");
  cell.classList.remove("on-dark", "zero");
  cell.textContent = "";
}

/** Lay out a grid for assistive technology: rows of cells, one of which takes the focus. */
function layOut(grid, side, before, after, isInteractive) {
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
        line.append(cell);
      }
      line.append(...Array.from({ length: after }, padding));
    }
    rows.push(line);
  }
  grid.role = isInteractive ? "grid" : "table";
  grid.replaceChildren(...rows);
}

const cellAt = (grid, row, column) =>
  grid.querySelector(`[data-row="${row}"][data-column="${column}"]`);

const ARROWS = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };

/** Where a key leads from a cell in a square of so many cells, or null. */
function target(event, { row, column }, side) {
  if (ARROWS[event.key]) {
    const [down, right] = ARROWS[event.key];
    return { row: row + down, column: column + right };
  }
  if (event.key === "Home") return { row: event.ctrlKey ? 0 : row, column: 0 };
  if (event.key === "End") return { row: event.ctrlKey ? side - 1 : row, column: side - 1 };
  return null;
}

const placeOf = (cell) => ({ row: Number(cell.dataset.row), column: Number(cell.dataset.column) });

function setPixel({ row, column }, value) {
  act(() => {
    state.picture[row][column] = value;
    state.pictureName = null;
  });
}

$("picture").addEventListener("keydown", (event) => {
  const cell = event.target.closest("[data-row]");
  if (!cell) return;
  const place = placeOf(cell);
  const next = target(event, place, input().length);
  if (next) {
    const neighbour = cellAt($("picture"), next.row, next.column);
    if (neighbour) focusCell(neighbour);
  } else if (!poolsMap()) {
    const value = state.picture[place.row][place.column];
    const tenths = Math.round(value * 10);
    if (/^\d$/.test(event.key)) setPixel(place, Number(event.key) / 10);
    else if (event.key === " " || event.key === "Enter") setPixel(place, value > 0 ? 0 : 1);
    else if (event.key === "+") setPixel(place, Math.min(tenths + 1, 10) / 10);
    else if (event.key === "-") setPixel(place, Math.max(tenths - 1, 0) / 10);
    else return;
  } else return;
  event.preventDefault();
});

function focusCell(cell) {
  for (const other of cell.closest(".grid").querySelectorAll("[tabindex='0']")) other.tabIndex = -1;
  cell.tabIndex = 0;
  cell.focus();
}

for (const id of ["map", "frame"]) {
  $(id).addEventListener("keydown", (event) => {
    const next = target(event, state.at, outputSide());
    if (!next) return;
    event.preventDefault();
    act(() => moveTo(next.row, next.column));
    if (id === "map") cellAt($("map"), state.at.row, state.at.column).focus();
  });
}
$("map").addEventListener("click", (event) => {
  const cell = event.target.closest("[data-row]");
  if (cell) act(() => moveTo(Number(cell.dataset.row), Number(cell.dataset.column)));
});

// The pointer on the picture: it drags the window, or draws.

/** The cell of the padded picture under the pointer, as fractions of cells. */
function pointed(event) {
  const box = $("picture").getBoundingClientRect();
  const { window, stride, padding } = options();
  const side = input().length;
  const [before, after] = paddedCells(side, window, stride, padding);
  const cell = box.width / (before + side + after);
  return { x: (event.clientX - box.left) / cell, y: (event.clientY - box.top) / cell, before };
}

let grip = null; // where in the window it is held

function drag(event) {
  const { x, y } = pointed(event);
  const { stride } = options();
  const row = Math.round((y - grip.y) / stride), column = Math.round((x - grip.x) / stride);
  if (row !== state.at.row || column !== state.at.column) act(() => moveTo(row, column));
}

$("frame").addEventListener("pointerdown", (event) => {
  const { x, y } = pointed(event);
  const { stride } = options();
  grip = { x: x - state.at.column * stride, y: y - state.at.row * stride };
  $("frame").setPointerCapture(event.pointerId);
  $("frame").classList.add("held");
});
$("frame").addEventListener("pointermove", (event) => grip && drag(event));
for (const end of ["pointerup", "pointercancel"]) {
  $("frame").addEventListener(end, () => {
    grip = null;
    $("frame").classList.remove("held");
  });
}

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

$("picture").addEventListener("pointerdown", (event) => {
  if (state.hand === "move") {
    const { x, y } = pointed(event);
    const { window, stride } = options();
    const half = window / 2;
    act(() => moveTo(Math.round((y - half) / stride), Math.round((x - half) / stride)));
    return;
  }
  $("picture").setPointerCapture(event.pointerId);
  draw(event);
});
$("picture").addEventListener("pointermove", (event) => ink !== null && draw(event));
for (const end of ["pointerup", "pointercancel"]) {
  $("picture").addEventListener(end, () => { ink = null; });
}

// Weights and bias.

function layOutWeights(window) {
  const grid = $("weights");
  if (grid.childElementCount === window * window) return;
  grid.style.setProperty("--columns", window);
  grid.replaceChildren(...Array.from({ length: window * window }, (_, k) => {
    const field = element("input", { className: "cell", type: "number", step: "0.1", min: -9, max: 9 });
    field.dataset.k = k;
    field.oninput = () => act(() => {
      state.kernel = state.kernel.with(k, numberIn(field));
      state.filter = "own";
    });
    field.onblur = () => render();
    return field;
  }));
}

const numberIn = (field) => Math.max(-9, Math.min(9, field.valueAsNumber || 0));

/** Write a number into its field, unless it is being typed there. */
function write(field, value) {
  if (field !== document.activeElement) field.value = Math.round(value * 100) / 100;
}

$("bias").oninput = () => act(() => { state.bias = numberIn($("bias")); });
$("bias").onblur = () => render();
$("relu").onchange = () => act(() => { state.isRelu = $("relu").checked; });

$("play").onclick = play;
$("forward").onclick = () => act(() => moveBy(1));
$("back").onclick = () => act(() => moveBy(-1));
$("first").onclick = () => act(() => { state.seen.clear(); moveTo(0, 0); });
$("last").onclick = () => act(() => {
  moveTo(outputSide() - 1, outputSide() - 1);
  seeUpTo(state.at);
});
$("position").oninput = () => act(() => {
  const side = outputSide(), index = Number($("position").value) - 1;
  moveTo(Math.floor(index / side), index % side);
  seeUpTo(state.at);
});

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
  const { row, column } = computed().cells[k] ?? {};
  cellAt($("picture"), row, column)?.classList.add("marked");
}

// Drawing.

function computed() {
  return isPooling()
    ? poolAt(input(), state.at, state.operation, options())
    : convolveAt(state.picture, state.at, state.kernel, state.bias, options());
}

/** One or two sentences about what is under the window now. */
function reading() {
  const place = { row: state.at.row + 1, column: state.at.column + 1 };
  const { cells, sum, count, output } = computed();
  const padded = cells.filter((cell) => cell.isPadding).length;
  const sentences = [];
  if (isPooling()) {
    sentences.push(t(`reading ${state.operation}`, { ...place, count, output: trimmed(output) }));
    if (padded) sentences.push(t("reading left out"));
  } else {
    sentences.push(t("reading sum", { ...place, count: cells.length, sum: trimmed(sum) }));
    if (state.bias) {
      sentences.push(t("reading bias", { bias: trimmed(state.bias), output: trimmed(output) }));
    }
    if (state.isRelu && output < 0) sentences.push(t("reading relu"));
    if (padded) sentences.push(t("reading padding", { count: padded }));
  }
  return sentences.join(" ");
}

function render() {
  const { window, stride, padding } = options();
  const picture = input(), side = picture.length, map = outputMap(), places = map.length;
  document.documentElement.dataset.operation = isPooling() ? "pooling" : "convolution";
  renderControls(window);
  renderPicture(picture, paddedCells(side, window, stride, padding));
  renderWindow(window);
  renderMap(map);

  $("title").textContent = t(isPooling() ? "pooling title" : "convolution title");
  $("lead").textContent = t(isPooling() ? "pooling lead" : "convolution lead");
  $("input-title").textContent = t(poolsMap() ? "map" : "picture");
  $("input-size").textContent = `${side} × ${side}`;
  $("work-title").textContent = t(isPooling() ? "in the window" : "filter");
  $("work-size").textContent = `${window} × ${window}`;
  $("output-title").textContent = t(isPooling() ? "pooled map" : "map");
  $("output-size").textContent = `${places} × ${places}`;
  const [before, after] = paddedCells(side, window, stride, padding);
  const unseen = padding === "valid" ? side - (places - 1) * stride - window : 0;
  $("input-note").textContent = unseen
    ? t("unseen", { count: unseen })
    : before + after ? t("padding around", { before, after }) : t("no padding");
  $("formula-name").textContent = t(`formula ${padding}`);
  $("formula").replaceChildren(formula(side, window, stride, padding, places));

  const index = state.at.row * places + state.at.column + 1;
  Object.assign($("position"), { max: places * places, value: index });
  $("position").setAttribute("aria-valuetext", t("position of", { position: index, count: places ** 2 }));
  $("play").classList.toggle("playing", state.timer !== null);
  $("play-word").textContent = t(state.timer ? "pause" : "play");
  $("reading").textContent = reading();
}

function renderControls(window) {
  press("operation", state.operation);
  press("window", window, (w) => options().padding === "same" || w <= input().length);
  press("stride", options().stride);
  press("padding", options().padding, (p) => p === "same" || window <= input().length);
  press("pictures", poolsMap() ? "map" : state.pictureName,
    (name) => name !== "map" || featureMap().length > 1);
  $("pictures").firstElementChild.hidden = !isPooling();
  press("filters", state.filter, (name) => kernelOf(name, window));
  $("filters").hidden = isPooling();
  press("hand", state.hand);
  press("brushes", state.brush);
  $("brushes").hidden = state.hand !== "draw";
  $("drawing").hidden = poolsMap();
  for (const button of $("pictures").children) {
    const name = button.dataset.value;
    const pixels = name === "map" ? featureMap() : pixelsOf(name);
    const kind = name === "map" ? "signed" : "grey";
    paint(button.firstElementChild, pixels.flat(), pixels.length, kind,
      name === "map" ? largestOf(pixels.flat()) : 1);
  }
  for (const button of $("filters").children) {
    const kernel = kernelOf(button.dataset.value, window) ?? kernelOf(button.dataset.value, 3);
    paint(button.firstElementChild, kernel, Math.sqrt(kernel.length), "signed", largestOf(kernel));
  }
  for (const button of $("brushes").children) {
    paint(button.firstElementChild, [Number(button.dataset.value)], 1, "grey");
  }
}

function renderPicture(picture, [before, after]) {
  const grid = $("picture"), { window, stride } = options();
  layOut(grid, picture.length, before, after, true);
  grid.ariaLabel = t(poolsMap() ? "map" : "picture grid");
  const kind = poolsMap() ? "signed" : "grey";
  const largest = poolsMap() ? largestOf(picture.flat()) : 1;
  for (const cell of grid.querySelectorAll("[data-row]")) {
    const { row, column } = placeOf(cell), value = picture[row][column];
    fill(cell, value, kind, largest);
    cell.ariaLabel = t("cell", { row: row + 1, column: column + 1, value: trimmed(value) });
    cell.tabIndex = cell === document.activeElement ? 0 : -1;
  }
  if (!grid.querySelector("[tabindex='0']")) cellAt(grid, 0, 0).tabIndex = 0;
  grid.parentElement.classList.toggle("drawing", state.hand === "draw" && !poolsMap());

  const frame = $("frame");
  for (const [name, n] of Object.entries({
    "--columns": before + picture.length + after,
    "--size": window,
    "--row": state.at.row * stride,
    "--column": state.at.column * stride,
  })) frame.style.setProperty(name, n);
  frame.ariaLabel = t("frame", { row: state.at.row + 1, column: state.at.column + 1 });
}

function renderWindow(window) {
  const { cells, products, sum, count, output } = computed();
  const largest = largestOf(state.kernel);
  const inputKind = poolsMap() ? "signed" : "grey";
  const inputLargest = poolsMap() ? largestOf(input().flat()) : 1;
  for (const id of ["under", "products"]) layOut($(id), window, 0, 0, false);
  $("under").ariaLabel = t("under the window");
  $("products").ariaLabel = t("products");
  layOutWeights(window);
  document.querySelectorAll("#under .cell").forEach((cell, k) => {
    cell.dataset.k = k;
    cell.classList.toggle("padding", cells[k].isPadding);
    if (cells[k].isPadding) {
      clear(cell);
      cell.textContent = isPooling() ? "" : "0";
    } else fill(cell, cells[k].value, inputKind, inputLargest);
    cell.ariaLabel = cells[k].isPadding ? t("padding cell") : trimmed(cells[k].value);
    const isTaken = state.operation === "max" && !cells[k].isPadding && cells[k].value === output;
    cell.classList.toggle("taken", isTaken);
  });
  if (isPooling()) {
    $("pool-term").textContent = t(state.operation === "max" ? "largest of" : "mean of", { count });
    $("pool-working").textContent = state.operation === "max"
      ? trimmed(output) : `${trimmed(sum)} ÷ ${count}`;
    $("output").textContent = trimmed(output);
    $("hint").textContent = t(`hint ${state.operation}`);
    return;
  }
  document.querySelectorAll("#products .cell").forEach((cell, k) => {
    cell.dataset.k = k;
    fill(cell, products[k], "signed", largest);
  });
  document.querySelectorAll("#weights .cell").forEach((field, k) => {
    fill(field, state.kernel[k], "signed", largest);
    write(field, state.kernel[k]);
    field.ariaLabel = t("weight", { row: Math.floor(k / window) + 1, column: (k % window) + 1 });
  });
  write($("bias"), state.bias);
  const rectifiedOutput = state.isRelu ? Math.max(0, output) : output;
  $("relu").checked = state.isRelu;
  $("sum-term").textContent = t("sum of", { count: cells.length });
  $("sum").textContent = trimmed(sum);
  $("relu-output").textContent = state.isRelu ? `max(0, ${trimmed(output)})` : "";
  $("output").textContent = trimmed(rectifiedOutput);
  $("hint").textContent = LEARNED[state.filter]
    ? t("hint learned", { number: state.filter }) : t(`hint ${state.filter}`);
}

function renderMap(map) {
  const grid = $("map"), isGrey = isPooling() && !state.poolsMap;
  const largest = isGrey ? 1 : largestOf(map.flat());
  layOut(grid, map.length, 0, 0, true);
  grid.ariaLabel = t("map grid");
  for (const cell of grid.querySelectorAll("[data-row]")) {
    const place = placeOf(cell), value = map[place.row][place.column];
    const isSeen = state.seen.has(keyOf(place)), isHere = keyOf(place) === keyOf(state.at);
    if (isSeen) fill(cell, value, isGrey ? "grey" : "signed", largest);
    else clear(cell);
    cell.classList.toggle("here", isHere);
    cell.setAttribute("aria-selected", isHere);
    cell.tabIndex = isHere ? 0 : -1;
    const said = isSeen ? trimmed(value) : t("not yet");
    cell.ariaLabel = t("cell", { row: place.row + 1, column: place.column + 1, value: said });
  }
  const least = isGrey ? 0 : -largest;
  const scale = Array.from({ length: 101 }, (_, n) => least + (largest - least) * (n / 100));
  paint($("scale"), scale, scale.length, isGrey ? "grey" : "signed", largest);
  $("least").textContent = trimmed(least);
  $("most").textContent = trimmed(largest);
  $("legend").hidden = largest === 0;
}

/** The size of the map, first with letters, then with numbers. */
function formula(n, k, s, padding, places) {
  const isSame = padding === "same";
  const [open, close] = isSame ? ["⌈", "⌉"] : ["⌊", "⌋"];
  const side = (above, below) => math("mrow", math("mo", open),
    math("mfrac", math("mrow", ...above), math("mrow", below)), math("mo", close),
    ...(isSame ? [] : [math("mo", "+"), math("mn", "1")]));
  const letters = isSame ? [math("mi", "n")] : [math("mi", "n"), math("mo", "−"), math("mi", "k")];
  const numbers = isSame ? [math("mn", n)] : [math("mn", n), math("mo", "−"), math("mn", k)];
  return math("math", side(letters, math("mi", "s")), math("mo", "="), side(numbers, math("mn", s)),
    math("mo", "="), math("mn", places));
}

function math(tag, ...children) {
  const node = document.createElementNS("http://www.w3.org/1998/Math/MathML", tag);
  node.append(...children);
  return node;
}

start("convolution", words);
buildControls();
seeUpTo(state.at);
document.documentElement.classList.toggle("calm", isCalm);
render();
onChange(() => {
  buildControls();
  render();
});
