/* All layers side by side: every map of every layer, and the wires to the chosen cell. */

import { windowOf } from "./engine.js";
import { $, ARROWS, SIDE, clamp, element, grouped, pointIn, svg } from "./kit.js";
import { colours } from "./paint.js";
import { t } from "./shell.js";

const MAX_MAPS = 64, MAX_UNITS = 200;
const narrow = matchMedia("(max-width: 1180px)");

/** Lay out the layers of a model. Calls onPoint(cell) when a cell is pointed at, onChoose(cell)
 *  when one is clicked or reached by keyboard. A cell is {layer, channel, row, column}. */
export function createFlow(model, { onPoint, onChoose }) {
  const flow = $("flow"), wires = $("wires");
  const image = {
    index: -1, kind: "image", height: SIDE, width: SIDE, count: 1, shown: 1, scale: 3, gap: 0,
    rows: 1, stackedRows: 1,
  };
  const tiles = [image, ...model.layers.map(tilesOf)];
  let chosen = null, links = [];
  for (const tile of tiles) {
    tile.name = element("strong");
    tile.size = element("span");
    tile.canvas = element("canvas");
    flow.append(element("figure", { className: `layer ${tile.kind}` },
      element("figcaption", {}, tile.name, tile.size), tile.canvas));
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
    const { canvas, index: layer } = tile;
    Object.assign(canvas, { tabIndex: 0, role: "application" });
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
      const first = { layer, channel: 0, row: 0, column: 0 };
      if (chosen?.layer !== layer) onChoose(first);
      else onChoose(event.key === "Enter" ? chosen : moved(tile, chosen, event.key));
    });
  }

  /** Write the names and sizes of the layers in the language in use. */
  function label() {
    for (const { name, size, canvas, layer, index, shown, count, height, width } of tiles) {
      name.textContent = layer?.name ?? t("image");
      let text = index < 0 ? `${SIDE}×${SIDE}` : grouped(count);
      if (index >= 0 && width > 1) text = t("maps", { n: count, rows: height, columns: width });
      if (shown < count) text += `, ${t("some", { shown, n: grouped(count) })}`;
      size.textContent = text;
      if (index >= 0) canvas.ariaLabel = t("layer label", { name: layer.name, size: text });
    }
    measure(); // the words may have moved the maps
  }

  function show(result) {
    paintTiles(tiles[0], result.image, "grey", 1);
    result.layers.forEach(({ output }, n) => {
      let largest = n === model.layers.length - 1 ? 1 : 0; // probabilities have their own scale
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
      if (source.isFramed) parts.push(frame(box(before, source)));
    }
    if (field && cell.layer > 0) {
      parts.push(frame(box(tiles[0], { channel: 0, ...rectangle(field) })));
    }
    parts.push(frame(own, "own"));
    wires.replaceChildren(...parts);
  }

  /** Return where a cell, or the whole tile it lies in, is on the page, relative to the flow. */
  function box(tile, { channel, row, column, height = 1, width = 1 }, isWhole = false) {
    if (channel >= tile.shown) return null;
    const { zoom, x: originX, y: originY } = tile.place, { scale } = tile;
    const { left, top } = cornerOf(tile, channel);
    const [x, y, w, h] = isWhole ? [0, 0, tile.width, tile.height] : [column, row, width, height];
    return {
      x: originX + zoom * (left + x * scale), y: originY + zoom * (top + y * scale),
      width: zoom * w * scale, height: zoom * h * scale,
    };
  }

  /** Note where the canvases are: asking for it while a picture is drawn would lay the page out. */
  function measure() {
    for (const tile of tiles) {
      const { offsetLeft, offsetTop, clientWidth, width } = tile.canvas;
      tile.place = { x: offsetLeft, y: offsetTop, zoom: clientWidth / width };
    }
    wires.setAttribute("width", flow.clientWidth);
    wires.setAttribute("height", flow.clientHeight);
  }

  const redraw = () => {
    layOut();
    measure();
  };
  measure();
  new ResizeObserver(() => {
    measure();
    drawMarks();
  }).observe(flow);
  return { label, show, mark, redraw, narrow };
}

const STEPS = { // down, right, and from map to map
  ...ARROWS, PageUp: [0, 0, -1], PageDown: [0, 0, 1],
};

/** Return the cell that a key leads to; of maps with one cell, arrows lead from map to map. */
function moved(tile, { layer, channel, row, column }, key) {
  let [down, right, on = 0] = STEPS[key];
  if (tile.width === 1) [down, right, on] = [0, 0, on + right + down * tile.columns];
  return {
    layer, channel: clamp(channel + on, 0, tile.shown - 1),
    row: clamp(row + down, 0, tile.height - 1), column: clamp(column + right, 0, tile.width - 1),
  };
}

/** Return how a layer's numbers are laid out: maps, or single numbers, `scale` pixels a cell. */
function tilesOf(layer, index, { length }) {
  const isMaps = layer.shape.length === 3;
  const [height, width, count] = isMaps ? layer.shape : [1, 1, layer.shape[0]];
  const tile = (shown, scale, gap, rows, stackedRows) => ({
    index, layer, kind: layer.kind, height, width, count, shown, scale, gap, rows, stackedRows,
  });
  if (isMaps) {
    const shown = Math.min(count, MAX_MAPS), scale = width === 28 ? 1 : width === 14 ? 2 : 3;
    return tile(shown, scale, 2, 8, Math.ceil(shown / 8));
  }
  if (layer.kind === "flatten") {
    return tile(count, 2, 0, Math.min(112, count), Math.ceil(count / 112));
  }
  if (index === length - 1) return tile(count, 22, 2, 10, 1);
  const shown = Math.min(count, MAX_UNITS);
  return tile(shown, 10, 2, 20, Math.ceil(shown / 20));
}

/** Return where a map begins on the canvas of its layer. */
function cornerOf({ columns, width, height, scale, gap }, channel) {
  return {
    left: channel % columns * (width * scale + gap),
    top: Math.floor(channel / columns) * (height * scale + gap),
  };
}

function paintTiles(tile, values, kind, largest) {
  const { canvas, picture, count, shown, width, height, scale } = tile, line = picture.width;
  const pixels = new Uint32Array(picture.data.buffer), colour = colours(kind, largest);
  for (let channel = 0; channel < shown; channel++) {
    const { left, top } = cornerOf(tile, channel);
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
  const { x, y } = pointIn(canvas, event, canvas.width, canvas.height);
  const [pitchX, pitchY] = [width * scale + gap, height * scale + gap];
  const channel = Math.floor(y / pitchY) * columns + Math.floor(x / pitchX);
  if (x < 0 || y < 0 || x >= canvas.width || channel >= shown) return null;
  return {
    layer: index, channel,
    row: Math.min(Math.floor(y % pitchY / scale), height - 1),
    column: Math.min(Math.floor(x % pitchX / scale), width - 1),
  };
}

const rectangle = ({ top, left, bottom, right }) => (
  { row: top, column: left, height: bottom - top, width: right - left });

/** Return where a cell's window lies in the layer before, for `mark`. */
export const windowIn = (layer, { row, column }) => rectangle(windowOf(layer, row, column));

function frame({ x, y, width, height }, kind = "") {
  const place = { x: x - 1, y: y - 1, width: width + 2, height: height + 2 };
  return svg("rect", { class: `frame ${kind}`, ...place, rx: 1 });
}

function wire(from, to, strength) {
  const isStacked = to.y > from.y + from.height && narrow.matches;
  const [x0, y0, x1, y1] = isStacked
    ? [from.x + from.width / 2, from.y + from.height, to.x + to.width / 2, to.y]
    : [from.x + from.width, from.y + from.height / 2, to.x, to.y + to.height / 2];
  const [x, y] = [(x0 + x1) / 2, (y0 + y1) / 2];
  const bend = isStacked ? [x0, y, x1, y] : [x, y0, x, y1];
  return svg("path", {
    class: `wire ${strength < 0 ? "negative" : "positive"}`,
    d: `M${x0} ${y0}C${bend.join(" ")} ${x1} ${y1}`,
    "stroke-opacity": (0.12 + 0.88 * Math.abs(strength)).toFixed(2),
    "stroke-width": (0.75 + 1.75 * Math.abs(strength)).toFixed(2),
  });
}
