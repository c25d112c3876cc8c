/* The view `convolution`: one window over a small picture, and everything it computes. */

import { convolve, convolveAt, outputSize, paddedCells, pool, poolAt } from "./arithmetic.js";
import { SOFT, cellAt, clear, fill, fitted, focusCell, layOut, target, trimmed } from "./grid.js";
import { drawLens } from "./lens.js";
import { paint } from "./paint.js";
import { FILTERS, LEARNED, PICTURES, kernelOf, pixelsOf } from "./samples.js";
import { announce, element, onChange, start, t } from "./shell.js";
import words from "./words/convolution.js";

const WINDOWS = [2, 3, 5];
const STRIDES = [1, 2, 3];
const PADDINGS = ["same", "valid"];
const BRUSHES = [0, 0.5, 1];
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
    // As in Keras, unless it is told otherwise: a stride as long as the window.
    pooling: { window: 2, stride: 2, padding: "valid" },
  },
  at: { row: 3, column: 5 },
  seen: new Set(),
  hand: "move",
  brush: 1,
  timer: null,
};

const $ = (id) => document.getElementById(id);

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
  const wasPlaying = state.timer !== null;
  act(() => {
    const side = outputSide();
    const isFull = state.seen.size === side * side;
    change();
    fit();
    moveTo(state.at.row, state.at.column);
    seeUpTo(isFull ? { row: outputSide() - 1, column: outputSide() - 1 } : state.at);
  });
  if (wasPlaying) play(); // on from here, or from the beginning
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
  choices("window", WINDOWS, (window) => `${window}×${window}`, (window) =>
    resize(() => {
      options().window = window;
      if (!isPooling()) setFilter(kernelOf(state.filter, window) ? state.filter : "vertical");
    }));
  choices("stride", STRIDES, String, (stride) => resize(() => { options().stride = stride; }));
  choices("padding", PADDINGS, (padding) => t(`padding ${padding}`), (padding) =>
    resize(() => { options().padding = padding; }));
  thumbs("pictures", ["map", ...Object.keys(PICTURES)], (name) => t(`picture ${name}`), (name) =>
    resize(() => {
      if (isPooling()) state.poolsMap = name === "map";
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
  if (state.timer) pause();
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
    const field = element("input", { type: "number", step: "0.1", min: -9, max: 9 });
    field.className = "cell";
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
    if (padded) sentences.push(t("reading padding"));
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
  $("input-size").textContent = `${side}×${side}`;
  $("work-title").textContent = t(isPooling() ? "in the window" : "filter");
  $("work-size").textContent = `${window}×${window}`;
  $("output-title").textContent = t(isPooling() ? "pooled map" : "map");
  $("output-size").textContent = `${places}×${places}`;
  const [before, after] = paddedCells(side, window, stride, padding);
  const unseen = padding === "valid" ? side - (places - 1) * stride - window : 0;
  $("input-note").textContent = unseen
    ? t(unseen === 1 ? "unseen one" : "unseen", { count: unseen })
    : before + after ? t("padding around", { before, after }) : t("no padding");
  $("formula-name").textContent = t(`formula ${padding}`, { n: side, k: window, s: stride });
  $("formula").replaceChildren(...formula(side, window, stride, padding, places));

  const index = state.at.row * places + state.at.column + 1;
  Object.assign($("position"), { max: places * places, value: index });
  const position = t("position of", { position: index, count: places ** 2 });
  $("position").setAttribute("aria-valuetext", position);
  $("play").classList.toggle("playing", state.timer !== null);
  $("play-word").textContent = t(state.timer ? "pause" : "play");
  $("reading").textContent = reading();
  renderLens();
}

function renderLens() {
  const { window, stride, padding } = options(), side = input().length;
  const [before, after] = paddedCells(side, window, stride, padding);
  const place = { row: state.at.row * stride, column: state.at.column * stride };
  const cell = cellAt($("map"), state.at.row, state.at.column);
  drawLens(before + side + after, window, place, cell);
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
      name === "map" ? SOFT * largestOf(pixels.flat()) : 1);
  }
  for (const button of $("filters").children) {
    const kernel = kernelOf(button.dataset.value, window) ?? kernelOf(button.dataset.value, 3);
    const side = Math.sqrt(kernel.length);
    paint(button.firstElementChild, kernel, side, "signed", SOFT * largestOf(kernel));
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
  $("under").ariaLabel = $("under-name").textContent = t(poolsMap() ? "values" : "pixels");
  $("products").ariaLabel = t("products");
  layOutWeights(window);
  document.querySelectorAll("#under .cell").forEach((cell, k) => {
    cell.dataset.k = k;
    cell.classList.toggle("padding", cells[k].isPadding);
    if (cells[k].isPadding) {
      clear(cell);
      cell.textContent = isPooling() ? "" : "0";
    } else fill(cell, cells[k].value, inputKind, inputLargest, fitted(cells[k].value, window));
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
    fill(cell, products[k], "signed", largest, fitted(products[k], window));
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
  paint($("scale"), scale, scale.length, isGrey ? "grey" : "signed", isGrey ? 1 : SOFT * largest);
  $("least").textContent = trimmed(least);
  $("most").textContent = trimmed(largest);
  $("legend").hidden = largest === 0;
  const seen = map.flatMap((line, row) =>
    line.map((value, column) => (state.seen.has(keyOf({ row, column })) ? value : 0)));
  paint($("mini"), seen, map.length, isGrey ? "grey" : "signed", isGrey ? 1 : SOFT * largest);
}

/** The size of the map, first with letters, then with numbers. */
function formula(n, k, s, padding, places) {
  const [mo, mn, mi] = ["mo", "mn", "mi"].map((tag) => (content) => math(tag, content));
  const side = (size, window, stride) => (padding === "same"
    ? [mo("⌈"), size, mo("/"), stride, mo("⌉")]
    : [mo("⌊"), mo("("), size, mo("−"), window, mo(")"), mo("/"), stride, mo("⌋"),
      mo("+"), mn(1)]);
  return [
    math("math", ...side(mi("n"), mi("k"), mi("s"))),
    math("math", mo("="), ...side(mn(n), mn(k), mn(s)), mo("="), math("mn", places)),
  ];
}

function math(tag, ...children) {
  const node = document.createElementNS("http://www.w3.org/1998/Math/MathML", tag);
  node.append(...children);
  return node;
}

start("convolution", words);
buildControls();
seeUpTo(state.at);
render();
new ResizeObserver(renderLens).observe(document.querySelector(".stage"));
onChange(() => {
  buildControls();
  render();
});
