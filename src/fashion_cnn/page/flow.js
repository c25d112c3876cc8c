/* All layers side by side: every map of every layer, the wires between them, and the wires to the
 * chosen cell or along the strongest path. */

import {
  $, ARROWS, SIDE, clamp, element, grouped, largestOf, number, pointIn, svg,
} from "./kit.js";
import { colours, scaleOf } from "./paint.js";
import { t } from "./shell.js";

const MAX_MAPS = 64, MAX_UNITS = 200;
const ROWS = 16, ACROSS = 8; // of maps; on a phone, so many are side by side
const GAP = 2, HEAD = 68, FOOT = 26, UNITS = 74, AIR = 13; // pixels: between maps, around a layer
const WEB_STEPS = 16; // a layer's wires at rest begin and end at so many places
const NEAR = 120; // pixels, from one layer to the next below it
const phone = matchMedia("(max-width: 760px)");
export const wide = matchMedia("(min-width: 1180px)"); // all on one screen, and no sheet

/** Lay out the layers of a model between the drawing area and the bars of the answer. Calls
 *  onPoint(cell) when a cell is pointed at, onPoint(null) when none is any more, onChoose(cell)
 *  when one is clicked, and onChoose(cell, key) by keyboard. A cell is {layer, channel, row, column}. */
export function createFlow(model, bars, { onPoint, onChoose }) {
  const stage = $("stage"), flow = $("flow"), wires = $("wires");
  const image = {
    height: SIDE, width: SIDE, shown: 1, columns: 1, scale: 1, gap: 0, canvas: $("pad"),
  };
  const last = model.layers.length - 1;
  const layers = model.layers.slice(0, last).map(tileOf);
  const output = { index: last, kind: "output", shown: bars.length, bars };
  const tiles = [image, ...layers, output];
  let drawn = () => [];
  for (const tile of layers) {
    for (const part of ["size", "what"]) tile[part] = element("span");
    tile.name = element("strong");
    tile.canvas = element("canvas");
    tile.legend = element("div", { className: "scale" });
    tile.node = element("figure", { className: `layer ${tile.kind}` },
      element("figcaption", {}, tile.name, tile.size, tile.what), tile.canvas, tile.legend);
    flow.append(tile.node);
    listen(tile);
  }

  function listen(tile) {
    const { canvas, index: layer } = tile;
    let chosen = { layer, channel: 0, row: 0, column: 0 };
    Object.assign(canvas, { tabIndex: 0, role: "application" });
    canvas.addEventListener("pointermove", (event) => {
      const cell = event.pointerType === "mouse" && cellAt(tile, event);
      if (cell) onPoint(cell);
    });
    canvas.addEventListener("pointerleave", () => onPoint(null));
    canvas.addEventListener("click", (event) => {
      const cell = cellAt(tile, event);
      if (cell) onChoose(chosen = cell);
    });
    canvas.addEventListener("keydown", (event) => {
      if (!(event.key in STEPS) && event.key !== "Enter") return;
      event.preventDefault();
      if (event.key !== "Enter") chosen = moved(tile, chosen, event.key);
      onChoose(chosen, event.key);
    });
  }

  /** Give the maps the room that there is: as large as the height and the width allow. */
  function layOut() {
    const isPhone = phone.matches, maps = layers.filter(({ isMaps }) => isMaps);
    for (const tile of layers) {
      const rows = isPhone ? tile.stackedRows : tile.rows;
      tile.columns = Math.ceil(tile.shown / rows);
      tile.lines = Math.ceil(tile.shown / tile.columns);
    }
    const columns = maps.reduce((sum, tile) => sum + tile.columns, 0);
    const air = UNITS * (layers.length - maps.length) + AIR * (layers.length + wide.matches);
    const widest = (flow.clientWidth - air) / columns;
    const highest = wide.matches ? (flow.clientHeight - HEAD - FOOT) / ROWS : 44;
    const side = isPhone ? flow.clientWidth / ACROSS : Math.floor(Math.min(widest, highest));
    for (const tile of layers) {
      const { canvas, width, height, lines, kind } = tile;
      if (tile.isMaps) tile.scale = Math.max(1, Math.ceil((side - GAP) / width * devicePixelRatio));
      canvas.width = tile.columns * (width * tile.scale + tile.gap) - tile.gap;
      canvas.height = lines * (height * tile.scale + tile.gap) - tile.gap;
      tile.picture = new ImageData(canvas.width, canvas.height);
      const high = tile.isMaps ? side * lines : Math.min(ROWS * side, 18 * lines);
      const across = { flatten: 56 }[kind] ?? high / lines * tile.columns;
      canvas.style.width = isPhone ? "100%" : `${across - tile.isMaps * GAP}px`;
      canvas.style.height = isPhone ? "auto" : `${high - tile.isMaps * GAP}px`;
    }
    $("bars").style.height = wide.matches ? `${ROWS * side}px` : "";
  }

  /** Write the names and sizes of the layers in the language in use. */
  function label() {
    for (const { name, size, what, canvas, layer, kind, isMaps, shown, count, ...tile } of layers) {
      name.textContent = layer.name;
      const of = shown < count ? t("some", { shown, n: grouped(count) }) : grouped(count);
      size.textContent = isMaps ? t("maps", { n: of }) : of;
      what.textContent = isMaps ? `${tile.height}×${tile.width}` : t(`what ${kind}`);
      canvas.ariaLabel = t("layer label", {
        name: layer.name, size: `${size.textContent}, ${what.textContent}`,
      });
    }
    redraw(); // the words may have moved the maps
  }

  /** Paint what every layer puts out, or, where ReLU acts, what it gets. */
  function show(result, isBefore) {
    for (const tile of layers) {
      const { output, before } = result.layers[tile.index];
      const isSigned = isBefore && before, values = isSigned ? before : output;
      const largest = largestOf(values), colour = colours("maps", largest);
      paintTiles(tile, values, colour);
      const write = (value) => value && number(value, 1);
      tile.legend.replaceChildren(...scaleOf(isSigned ? -largest : 0, largest, colour, write));
    }
  }

  /** Mark a cell and what it was computed from: sources [{channel, row, column, height, width,
   *  strength}] in the layer before, strength in [-1, 1]. The rest of the layers fades. */
  function mark(cell, sources) {
    fade((tile) => Math.abs(tile.index - cell.layer + 0.5) > 1);
    draw(() => {
      const own = box(tiles[cell.layer + 1], cell);
      return [...links(cell, sources), ...own ? [frame(own, "own")] : []];
    });
  }

  /** Show a path of cells from the answer back to the image. */
  function trace(path) {
    fade(() => false);
    draw(() => path.slice(0, -1).map((cell, n) =>
      links(cell, [{ ...path[n + 1], isFramed: true, strength: 1 }])).reverse().flat());
  }

  /** Return the wires to a cell from its sources, and frames around those that have one. */
  function links(cell, sources) {
    const tile = tiles[cell.layer + 1], before = tiles[cell.layer], own = box(tile, cell);
    return sources.flatMap((source) => {
      const from = own && box(before, source, !source.isFramed);
      if (!from) return [];
      const link = wire(from, own, before.place, tile.place, source.strength);
      return source.isFramed && cell.layer > 0 ? [link, frame(from)] : [link];
    });
  }

  function fade(isFaded) {
    for (const tile of layers) tile.node.classList.toggle("faded", isFaded(tile));
    $("bars").classList.toggle("faded", isFaded(output));
  }

  function draw(marks) {
    drawn = marks;
    wires.lastChild.replaceChildren(...marks());
  }

  /** Return where a cell, or the whole map it lies in, is, relative to the stage. */
  function box(tile, { channel, row, column, height = 1, width = 1 }, isWhole = false) {
    if (channel >= tile.shown) return null;
    if (tile.bars) return tile.places[channel];
    const { zoomX, zoomY, x: originX, y: originY } = tile.place, { scale } = tile;
    const { left, top } = cornerOf(tile, channel);
    const [x, y, w, h] = isWhole ? [0, 0, tile.width, tile.height] : [column, row, width, height];
    return {
      x: originX + zoomX * (left + x * scale), y: originY + zoomY * (top + y * scale),
      width: zoomX * w * scale, height: zoomY * h * scale,
    };
  }

  /** Note where everything is: asking for it while a picture is drawn would lay the page out. */
  function measure() {
    const { left, top } = stage.getBoundingClientRect();
    const placeOf = (node) => {
      const { x, y, width, height } = node.getBoundingClientRect();
      return { x: x - left, y: y - top, width, height };
    };
    for (const tile of [image, ...layers]) {
      const place = placeOf(tile.canvas), { width, height } = tile.canvas;
      tile.place = { ...place, zoomX: place.width / width, zoomY: place.height / height };
    }
    output.places = bars.map(placeOf);
    output.place = placeOf($("bars"));
    wires.setAttribute("width", stage.clientWidth);
    wires.setAttribute("height", stage.clientHeight);
    const webs = tiles.slice(1).map((tile, n) => web(tiles[n].place, tile.place, tile));
    wires.replaceChildren(...webs, svg("g", {}));
  }

  const redraw = () => {
    layOut();
    measure();
    wires.lastChild.replaceChildren(...drawn());
  };

  /** Return the middle of a cell, and the edges of its map, its layer, and the one before. */
  function spanOf(cell) {
    const own = tiles[cell.layer + 1], { y, height } = box(own, cell) ?? own.place;
    const map = box(own, cell, true) ?? own.place;
    return {
      middle: y + height / 2, bottom: map.y + map.height, near: map.x + map.width,
      left: tiles[cell.layer].place.x, right: own.place.x + own.place.width,
    };
  }
  return { label, show, mark, trace, redraw, spanOf };
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
function tileOf(layer, index) {
  const isMaps = layer.shape.length === 3;
  const [height, width, count] = isMaps ? layer.shape : [1, 1, layer.shape[0]];
  const tile = { index, layer, kind: layer.kind, isMaps, height, width, count };
  const shown = Math.min(count, isMaps ? MAX_MAPS : MAX_UNITS);
  if (isMaps) {
    return { ...tile, shown, gap: GAP, rows: ROWS, stackedRows: Math.ceil(shown / ACROSS) };
  }
  if (layer.kind === "flatten") {
    const stackedRows = Math.ceil(count / 112);
    return { ...tile, shown: count, scale: 2, gap: 0, rows: 112, stackedRows };
  }
  return { ...tile, shown, scale: 10, gap: 2, rows: 50, stackedRows: Math.ceil(shown / 20) };
}

/** Return where a map begins on the canvas of its layer. */
function cornerOf({ columns, width, height, scale, gap }, channel) {
  return {
    left: channel % columns * (width * scale + gap),
    top: Math.floor(channel / columns) * (height * scale + gap),
  };
}

function paintTiles(tile, values, colour) {
  const { canvas, picture, count, shown, width, height, scale } = tile, line = picture.width;
  const pixels = new Uint32Array(picture.data.buffer);
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

function frame({ x, y, width, height }, kind = "") {
  const place = { x: x - 1, y: y - 1, width: width + 2, height: height + 2 };
  return svg("rect", { class: `frame ${kind}`, ...place, rx: 1 });
}

/** Draw the faint wires between two layers that are side by side: each to each, or one to one. */
function web(from, to, { kind }) {
  const left = from.x + from.width, all = [...Array(WEB_STEPS).keys()];
  const isBeside = left < to.x && from.y < to.y + to.height;
  const at = (place, n) => Math.round(place.y + place.height * (n + 0.5) / WEB_STEPS);
  const isFull = ["conv", "dense", "output"].includes(kind);
  const d = !isBeside ? "" : all.flatMap((n) => (isFull ? all : [n]).map((m) =>
    `M${left} ${at(from, n)}L${to.x} ${at(to, m)}`)).join("");
  return svg("path", { class: isFull ? "web" : "web one", d });
}

/** Draw a wire from a cell to one of the next layer: level inside both, curved between them. */
function wire(from, to, before, after, strength) {
  const below = after.y - before.y - before.height, isBelow = below > 0 && below < NEAR;
  if (!isBelow && before.x + before.width > after.x) return ""; // something lies between them
  const [x, y] = [from.x + from.width / 2, from.y + from.height / 2];
  const [endX, endY] = [to.x + to.width / 2, to.y + to.height / 2];
  const [left, right] = [before.x + before.width, after.x];
  const middle = isBelow ? (from.y + from.height + to.y) / 2 : (left + right) / 2;
  const d = isBelow
    ? `M${x} ${from.y + from.height}C${x} ${middle} ${endX} ${middle} ${endX} ${to.y}`
    : `M${from.x + from.width} ${y}H${left}
      C${middle} ${y} ${middle} ${endY} ${right} ${endY}H${to.x}`;
  return svg("path", {
    class: `wire ${strength < 0 ? "negative" : "positive"}`, d,
    "stroke-opacity": (0.12 + 0.88 * Math.abs(strength)).toFixed(2),
    "stroke-width": (0.75 + 1.75 * Math.abs(strength)).toFixed(2),
  });
}
