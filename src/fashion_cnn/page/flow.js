/* All layers side by side: every map of every layer, the wires to the chosen cell, and the choice. */

import { windowOf } from "./engine.js";
import { colours } from "./paint.js";
import { element, t } from "./shell.js";

const MOST_MAPS = 64, MOST_UNITS = 200;
const narrow = matchMedia("(max-width: 1180px)");

/** Lay out the layers of a model. Calls onPoint(cell) when a cell is pointed at, onChoose(cell) when one
 *  is clicked or reached by keyboard. A cell is {layer, channel, row, column}. */
export function createFlow(model, { onPoint, onChoose }) {
  const flow = document.getElementById("flow"), wires = document.getElementById("wires");
  const tiles = [imageTiles(), ...model.layers.map(tilesOf)];
  let chosen = null, links = [];
  for (const tile of tiles) {
    tile.figure = element("figure", { className: "layer" });
    tile.name = element("strong");
    tile.size = element("span");
    tile.canvas = element("canvas");
    tile.figure.append(element("figcaption", {}, tile.name, tile.size), tile.canvas);
    tile.figure.classList.add(tile.kind);
    flow.append(tile.figure);
    if (tile.index >= 0) listen(tile);
  }
  const layOut = () => {
    for (const tile of tiles) {
      tile.columns = Math.ceil(tile.shown / (narrow.matches ? tile.stackedRows : tile.rows));
      const lines = Math.ceil(tile.shown / tile.columns);
      tile.canvas.width = tile.columns * (tile.width * tile.scale + tile.gap) - tile.gap;
      tile.canvas.height = lines * (tile.height * tile.scale + tile.gap) - tile.gap;
      tile.picture = new ImageData(tile.canvas.width, tile.canvas.height);
    }
  };
  layOut();

  function listen(tile) {
    const { canvas, index } = tile;
    canvas.tabIndex = 0;
    canvas.setAttribute("role", "application");
    canvas.addEventListener("pointermove", (event) => {
      const cell = event.pointerType === "mouse" && cellAt(tile, event);
      if (cell) onPoint(cell);
    });
    canvas.addEventListener("click", (event) => {
      const cell = cellAt(tile, event);
      if (cell) onChoose(cell);
    });
    canvas.addEventListener("keydown", (event) => {
      if (!(event.key in STEPS) && event.key !== "Enter") return;
      event.preventDefault();
      const start = chosen?.layer === index ? chosen : { layer: index, channel: 0, row: 0, column: 0 };
      onChoose(event.key === "Enter" || start !== chosen ? start : moved(tile, start, event.key));
    });
  }

  /** Write the names and sizes of the layers in the language in use. */
  function label() {
    for (const { name, size, canvas, layer, index, shown, count, height, width } of tiles) {
      name.textContent = layer?.name ?? t("image");
      let text = index < 0 ? "28×28" : count.toLocaleString("en");
      if (index >= 0 && width > 1) text = t("maps", { n: count, rows: height, columns: width });
      if (shown < count) text += `, ${t("some", { shown, n: count.toLocaleString("en") })}`;
      size.textContent = text;
      if (index >= 0) canvas.setAttribute("aria-label", t("layer label", { name: layer.name, size: text }));
    }
    measure(); // the words may have moved the maps
  }

  /** Paint every layer of a result. */
  function show(result) {
    paintTiles(tiles[0], result.image, "grey", 1);
    result.layers.forEach(({ output }, n) => {
      let largest = n === model.layers.length - 1 ? 1 : 0; // probabilities have a scale of their own
      for (const value of output) if (value > largest) largest = value;
      paintTiles(tiles[n + 1], output, "maps", largest);
    });
  }

  /** Mark a cell and what it was computed from: sources [{channel, row, column, height, width,
   *  strength}] in the layer before, strength in [-1, 1], and its receptive field in the image. */
  function mark(cell, sources, field) {
    chosen = cell;
    links = { cell, sources, field };
    drawMarks();
  }

  function drawMarks() {
    if (!chosen) return;
    const { cell, sources, field } = links;
    const own = box(tiles[cell.layer + 1], cell), before = tiles[cell.layer];
    const parts = [];
    for (const source of sources) {
      const from = box(before, source, true);
      if (!from) continue;
      parts.push(wire(from, own, source.strength));
      if (source.isFramed) parts.push(frame(cut(box(before, source), from)));
    }
    if (field && cell.layer > 0) {
      parts.push(frame(box(tiles[0], {
        channel: 0, row: field.top, column: field.left,
        height: field.bottom - field.top, width: field.right - field.left,
      })));
    }
    parts.push(frame(own, "own"));
    wires.replaceChildren(...parts);
  }

  /** Return where a cell, or the whole tile it lies in, is on the page, relative to the flow. */
  function box(tile, { channel, row, column, height = 1, width = 1 }, isWhole = false) {
    if (channel >= tile.shown) return null;
    const { zoom, x: originX, y: originY } = tile.place;
    const left = channel % tile.columns * (tile.width * tile.scale + tile.gap);
    const top = Math.floor(channel / tile.columns) * (tile.height * tile.scale + tile.gap);
    const [x, y, w, h] = isWhole ? [0, 0, tile.width, tile.height] : [column, row, width, height];
    return {
      x: originX + zoom * (left + x * tile.scale),
      y: originY + zoom * (top + y * tile.scale),
      width: zoom * w * tile.scale, height: zoom * h * tile.scale,
    };
  }

  /** Note where the canvases are: asking for it while a picture is drawn would lay the page out anew. */
  function measure() {
    for (const tile of tiles) {
      const { offsetLeft, offsetTop, clientWidth, width } = tile.canvas;
      tile.place = { x: offsetLeft, y: offsetTop, zoom: clientWidth / width };
    }
    wires.setAttribute("width", flow.clientWidth);
    wires.setAttribute("height", flow.clientHeight);
  }

  const remeasure = () => {
    measure();
    drawMarks();
  };
  const redraw = () => {
    layOut();
    measure();
  };
  measure();
  new ResizeObserver(remeasure).observe(flow);
  return { label, show, mark, redraw, narrow };
}

const STEPS = {
  ArrowUp: [-1, 0, 0], ArrowDown: [1, 0, 0], ArrowLeft: [0, -1, 0], ArrowRight: [0, 1, 0],
  PageUp: [0, 0, -1], PageDown: [0, 0, 1],
};

/** Return the cell that a key leads to; where a map has one cell only, arrows lead from map to map. */
function moved(tile, { layer, channel, row, column }, key) {
  let [down, right, on] = STEPS[key];
  if (tile.width === 1) [down, right, on] = [0, 0, on + right + down * tile.columns];
  const clip = (value, end) => Math.max(0, Math.min(end - 1, value));
  return {
    layer, channel: clip(channel + on, tile.shown),
    row: clip(row + down, tile.height), column: clip(column + right, tile.width),
  };
}

function imageTiles() {
  return { index: -1, kind: "image", height: 28, width: 28, count: 1, shown: 1, scale: 3, gap: 0, rows: 1, stackedRows: 1 };
}

/** Return how a layer's numbers are laid out: maps, or single numbers, each `scale` pixels a cell. */
function tilesOf(layer, index, { length }) {
  const isMaps = layer.shape.length === 3;
  const [height, width, count] = isMaps ? layer.shape : [1, 1, layer.shape[0]];
  const tile = { index, layer, kind: layer.kind, height, width, count, shown: count };
  if (isMaps) {
    const shown = Math.min(count, MOST_MAPS);
    return { ...tile, shown, scale: width === 28 ? 1 : width === 14 ? 2 : 3, gap: 2, rows: 8, stackedRows: Math.ceil(shown / 8) };
  }
  if (layer.kind === "flatten") return { ...tile, scale: 2, gap: 0, rows: Math.min(112, count), stackedRows: Math.ceil(count / 112) };
  if (index === length - 1) return { ...tile, scale: 22, gap: 2, rows: 10, stackedRows: 1 };
  const shown = Math.min(count, MOST_UNITS);
  return { ...tile, shown, scale: 10, gap: 2, rows: 20, stackedRows: Math.ceil(shown / 20) };
}

function paintTiles({ canvas, picture, columns, count, shown, width, height, scale, gap }, values, kind, largest) {
  const pixels = new Uint32Array(picture.data.buffer), colour = colours(kind, largest);
  const line = picture.width;
  for (let channel = 0; channel < shown; channel++) {
    const left = channel % columns * (width * scale + gap);
    const top = Math.floor(channel / columns) * (height * scale + gap);
    for (let row = 0; row < height; row++) {
      const first = (top + row * scale) * line + left;
      for (let column = 0; column < width; column++) {
        pixels.fill(colour(values[(row * width + column) * count + channel]),
          first + column * scale, first + (column + 1) * scale);
      }
      for (let copy = 1; copy < scale; copy++) {
        pixels.copyWithin(first + copy * line, first, first + width * scale);
      }
    }
  }
  canvas.getContext("2d").putImageData(picture, 0, 0);
}

function cellAt({ canvas, index, columns, shown, width, height, scale, gap }, event) {
  const bounds = canvas.getBoundingClientRect();
  const x = (event.clientX - bounds.left) / bounds.width * canvas.width;
  const y = (event.clientY - bounds.top) / bounds.height * canvas.height;
  const [pitchX, pitchY] = [width * scale + gap, height * scale + gap];
  const channel = Math.floor(y / pitchY) * columns + Math.floor(x / pitchX);
  if (x < 0 || y < 0 || x >= canvas.width || channel >= shown) return null;
  return {
    layer: index, channel,
    row: Math.min(Math.floor(y % pitchY / scale), height - 1),
    column: Math.min(Math.floor(x % pitchX / scale), width - 1),
  };
}

/** Return where a cell's window lies in the layer before, for `mark`. */
export function windowIn(layer, { row, column }) {
  const { top, left, bottom, right } = windowOf(layer, row, column);
  return { row: top, column: left, height: bottom - top, width: right - left };
}

function cut(inner, outer) {
  const x = Math.max(inner.x, outer.x), y = Math.max(inner.y, outer.y);
  return {
    x, y,
    width: Math.min(inner.x + inner.width, outer.x + outer.width) - x,
    height: Math.min(inner.y + inner.height, outer.y + outer.height) - y,
  };
}

function svg(tag, attributes) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  return node;
}

function frame({ x, y, width, height }, kind = "") {
  return svg("rect", { class: `frame ${kind}`, x: x - 1, y: y - 1, width: width + 2, height: height + 2, rx: 1 });
}

function wire(from, to, strength) {
  const isStacked = to.y > from.y + from.height && narrow.matches;
  const [x0, y0] = isStacked ? [from.x + from.width / 2, from.y + from.height] : [from.x + from.width, from.y + from.height / 2];
  const [x1, y1] = isStacked ? [to.x + to.width / 2, to.y] : [to.x, to.y + to.height / 2];
  const bend = isStacked ? [x0, (y0 + y1) / 2, x1, (y0 + y1) / 2] : [(x0 + x1) / 2, y0, (x0 + x1) / 2, y1];
  return svg("path", {
    class: `wire ${strength < 0 ? "negative" : "positive"}`,
    d: `M${x0} ${y0}C${bend.join(" ")} ${x1} ${y1}`,
    "stroke-opacity": (0.12 + 0.88 * Math.abs(strength)).toFixed(2),
    "stroke-width": (0.75 + 1.75 * Math.abs(strength)).toFixed(2),
  });
}
