/* How one number was computed: the panel that explains the chosen cell. */

import { convolutionTerms, denseTerms, inputOf, poolingTerms, receptiveField } from "./engine.js";
import { windowIn } from "./flow.js";
import { cssColour, paint } from "./paint.js";
import { element, isCalm, lang, number, percent, t } from "./shell.js";

const STRONGEST = 6, WIRES = 40, STEP_MS = 110;
const $ = (id) => document.getElementById(id);

/** Make the panel. Calls onRefine(cell) when another cell of the same map, or another of the maps
 *  before, is chosen inside it. */
export function createDetail(model, { onRefine }) {
  const matrices = { // by id: the cells to fill
    "conv-values": 9, "conv-weights": 9, "conv-products": 9, "pool-values": 4, "pool-largest": 1,
  };
  for (const [id, count] of Object.entries(matrices)) {
    $(id).setAttribute("role", "img");
    $(id).append(...Array.from({ length: count }, () => element("span")));
  }
  const maps = [...document.querySelectorAll(".enlarged")].map((place) => {
    const canvas = element("canvas"), mark = element("div", { className: "mark" });
    place.append(canvas, mark);
    canvas.addEventListener("click", (event) => {
      const { left, top, width, height } = canvas.getBoundingClientRect();
      onRefine({
        row: Math.floor((event.clientY - top) / height * canvas.height),
        column: Math.floor((event.clientX - left) / width * canvas.width),
      });
    });
    return { canvas, mark };
  });
  let channel = null, shown = { cell: null }, step = -1, timer = 0;
  const last = model.layers.length - 1;
  const dimensions = [...model.layers].findLast(({ kind }) => kind === "pool").shape;

  const sums = $("sums");
  const choose = (next, count) => onRefine({ source: Math.max(0, Math.min(count - 1, next)) });
  const sourceAt = (event) => {
    const { left, width } = sums.getBoundingClientRect();
    const count = shown.terms.channels.length;
    choose(Math.floor((event.clientX - left) / width * count), count);
  };
  sums.addEventListener("pointerdown", (event) => {
    sums.setPointerCapture(event.pointerId);
    sourceAt(event);
  });
  sums.addEventListener("pointermove", (event) => event.buttons && sourceAt(event));
  sums.addEventListener("keydown", (event) => {
    const count = shown.terms.channels.length, now = shown.source;
    const next = {
      ArrowLeft: now - 1, ArrowDown: now - 1, ArrowRight: now + 1, ArrowUp: now + 1, Home: 0, End: count - 1,
    }[event.key];
    if (next === undefined) return;
    event.preventDefault();
    choose(next, count);
  });

  /** Explain a cell of a result. Returns what flow.mark wants to know, and the value in words. */
  function show(result, cell, source = null) {
    const layer = model.layers[cell.layer];
    channel = source;
    const isNew = JSON.stringify([cell, source]) !== JSON.stringify([shown.cell, shown.asked]);
    shown = { cell, asked: source };
    const kind = layer.kind === "dense" && cell.layer === last ? "output" : layer.kind;
    for (const part of document.querySelectorAll(".calculation")) part.hidden = part.dataset.kind !== kind;
    const isMap = layer.shape.length === 3;
    const title = isMap ? t("map cell", { name: layer.name, map: cell.channel })
      : t("unit cell", { name: layer.name, unit: cell.channel });
    const explained = { conv, pool, flatten, dropout, dense, output }[kind](result, cell, layer, title);
    if (isNew && kind === "conv") replay();
    return explained;
  }

  function heading(title, text, gloss = "") {
    $("detail-heading").textContent = title;
    $("detail-text").textContent = text;
    $("detail-gloss").textContent = gloss;
  }

  function where({ layer: index, row, column }, layer) {
    const [height, width] = layer.shape, field = receptiveField(model, index, row, column);
    const size = ({ top, bottom, left, right }) => `${bottom - top}×${right - left}`;
    const whole = size(receptiveField(model, index, height >> 1, width >> 1));
    const values = { ...counted({ row, column }), size: `${height}×${width}`, field: size(field) };
    return { field, text: t(size(field) === whole ? "where cell" : "where cell at edge", values) };
  }

  function enlarge(number_, layer, output, cell) {
    const [height, width, count] = layer.shape, { canvas, mark } = maps[number_];
    const own = Float32Array.from({ length: height * width }, (_, n) => output[n * count + cell.channel]);
    paint(canvas, own, width, "maps", own.reduce((a, b) => Math.max(a, b), 0));
    mark.hidden = false;
    Object.assign(mark.style, {
      left: `${100 * cell.column / width}%`, top: `${100 * cell.row / height}%`,
      width: `${100 / width}%`, height: `${100 / height}%`,
    });
  }

  function conv(result, cell, layer, title) {
    const terms = convolutionTerms(model, result, cell.layer, cell.row, cell.column, cell.channel);
    const sizes = terms.channels.map(({ sum }) => Math.abs(sum)), strongest = Math.max(...sizes, 1e-9);
    const source = channel ?? sizes.indexOf(Math.max(...sizes));
    Object.assign(shown, { terms, source });
    const { field, text } = where(cell, layer);
    heading(title, text, t("conv gloss"));
    enlarge(0, layer, result.layers[cell.layer].output, cell);
    const { values, weights, products, sum } = terms.channels[source];
    const isImage = cell.layer === 0;
    const largest = (list) => list.reduce((most, value) => Math.max(most, Math.abs(value)), 1e-9);
    const inputs = isImage ? 1 : largest(inputOf(result, cell.layer));
    fill("conv-values", values, isImage ? "grey" : "signed", inputs, t("window"));
    fill("conv-weights", weights, "signed", largest(weights), t("weights"));
    fill("conv-products", products, "signed", largest(products), t("products", { sum: number(sum) }));
    $("conv-window").textContent = isImage ? t("window image") : t("window map", { map: source });
    partialSum();
    const count = terms.channels.length, panel = document.querySelector(".sums");
    panel.hidden = count === 1;
    if (count > 1) {
      $("sums-text").textContent = t("sums text", { n: count });
      drawSums(terms.channels.map((part) => part.sum), source, strongest);
      sums.setAttribute("aria-valuemax", count - 1);
      sums.setAttribute("aria-valuenow", source);
      sums.setAttribute("aria-valuetext", `${source}: ${number(sum)}`);
    }
    equation([terms.sum, count === 1 ? t("sum") : t("sum of", { n: count })], "+", [terms.bias, t("bias")], "=",
      [terms.total, ""], t("relu"), [terms.output, t("result")]);
    return {
      field, value: t("cell value", { title, ...counted(cell), value: number(terms.output) }),
      sources: terms.channels.map((part, n) => ({
        ...windowIn(layer, cell), channel: n, strength: isImage ? Math.sign(part.sum) || 1 : part.sum / strongest,
        isFramed: n === source,
      })),
    };
  }

  function pool(result, cell, layer, title) {
    const { values, largest, output } = poolingTerms(model, result, cell.layer, cell.row, cell.column, cell.channel);
    const { field, text } = where(cell, layer);
    heading(title, text, t("pool gloss"));
    enlarge(1, layer, result.layers[cell.layer].output, cell);
    const most = Math.max(...result.layers[cell.layer].output, 1e-9);
    fill("pool-values", values, "signed", most, t("window"));
    fill("pool-largest", [output], "signed", most, t("the largest"));
    [...$("pool-values").children].forEach((node, n) => node.classList.toggle("on", n === largest));
    equation();
    return {
      field, value: t("cell value", { title, ...counted(cell), value: number(output) }),
      sources: [{ ...windowIn(layer, cell), channel: cell.channel, strength: 1, isFramed: true }],
    };
  }

  /** Return the cell of the last maps that a number of the flattened row comes from. */
  function unflattened(n) {
    const [, width, count] = dimensions, place = Math.floor(n / count);
    return { channel: n % count, row: Math.floor(place / width), column: place % width };
  }

  function flatten(result, cell, layer, title) {
    const from = unflattened(cell.channel), value = result.layers[cell.layer].output[cell.channel];
    heading(title, t("flatten text", { ...counted(from), map: from.channel }));
    equation([value, ""]);
    return {
      field: receptiveField(model, cell.layer - 1, from.row, from.column),
      value: t("unit value", { title, value: number(value) }),
      sources: [{ ...from, strength: 1, isFramed: true }],
    };
  }

  function dropout(result, cell, layer, title) {
    const value = result.layers[cell.layer].output[cell.channel];
    heading(title, t("dropout text"));
    equation([value, ""]);
    return {
      field: null, value: t("unit value", { title, value: number(value) }),
      sources: [{ channel: cell.channel, row: 0, column: 0, strength: 1, isFramed: true }],
    };
  }

  function dense(result, cell, layer, title) {
    const { terms, sum, bias, total } = denseTerms(model, result, cell.layer, cell.channel);
    const count = inputOf(result, cell.layer).length;
    heading(title, t("dense text", { n: count.toLocaleString("en") }));
    const [height, width] = dimensions, places = new Float32Array(height * width);
    for (const { input, product } of terms) {
      const { row, column } = unflattened(input);
      places[row * width + column] += product;
    }
    paint(maps[2].canvas, places, width, "signed", places.reduce((a, b) => Math.max(a, Math.abs(b)), 0));
    maps[2].mark.hidden = true;
    const shownTerms = terms.slice(0, STRONGEST);
    const rest = sum - shownTerms.reduce((a, { product }) => a + product, 0);
    list("dense-inputs", [
      ...shownTerms.map((term) => {
        const from = unflattened(term.input);
        return [t("dense input", { ...counted(from), map: from.channel }), term];
      }),
      [t("rest of terms", { n: (count - shownTerms.length).toLocaleString("en") }), { product: rest }],
    ]);
    equation([sum, t("sum of", { n: count.toLocaleString("en") })], "+", [bias, t("bias")], "=", [total, ""], t("relu"),
      [Math.max(total, 0), t("result")]);
    return {
      field: null, value: t("unit value", { title, value: number(Math.max(total, 0)) }),
      sources: wiresOf(terms),
    };
  }

  function output(result, cell) {
    const { terms, bias, total } = denseTerms(model, result, cell.layer, cell.channel);
    const name = model.class_names[lang][cell.channel];
    const title = t("output cell", { name });
    heading(title, t("output text"), t("output gloss"));
    const sides = { for: terms.filter(({ product }) => product > 0), against: terms.filter(({ product }) => product < 0) };
    const sum = Object.fromEntries(Object.entries(sides).map(([side, list_]) => (
      [side, list_.reduce((a, { product }) => a + product, 0)])));
    for (const [side, parts] of Object.entries(sides)) {
      $(`${side}-heading`).textContent = t(side, { sum: number(sum[side]) });
      const others = parts.slice(5), product = others.reduce((total_, part) => total_ + part.product, 0);
      list(side, [
        ...parts.slice(0, 5).map((term) => [t("hidden unit", { unit: term.input }), term]),
        ...(others.length ? [[t("rest of terms", { n: others.length }), { product }]] : []),
      ], Math.abs(terms[0]?.product ?? 1));
    }
    const probability = result.layers[cell.layer].output[cell.channel];
    equation([sum.for, t("for label")], "+", [sum.against, t("against label")], "+", [bias, t("bias")], "=",
      [total, t("logit")], t("softmax"), [percent(probability), name]);
    return {
      field: null, value: t("unit value", { title: name, value: percent(probability) }), sources: wiresOf(terms),
    };
  }

  function wiresOf(terms) {
    const strongest = Math.abs(terms[0]?.product ?? 1);
    return terms.slice(0, WIRES).map(({ input, product }) => (
      { channel: input, row: 0, column: 0, strength: product / strongest }));
  }

  /** Show nine products one after the other, adding up. */
  function replay() {
    clearInterval(timer);
    step = -1;
    if (isCalm) return;
    timer = setInterval(() => {
      step += 1;
      if (step === 9) {
        clearInterval(timer);
        step = -1;
      }
      partialSum();
    }, STEP_MS);
    partialSum();
  }

  function partialSum() {
    const { terms, source } = shown;
    if (!terms) return;
    for (const id of ["conv-values", "conv-weights", "conv-products"]) {
      [...$(id).children].forEach((node, n) => {
        node.classList.toggle("on", n === step);
        node.classList.toggle("later", id === "conv-products" && step >= 0 && n > step);
      });
    }
    const { products } = terms.channels[source];
    const sum = products.slice(0, step < 0 ? 9 : step + 1).reduce((a, b) => a + b, 0);
    $("conv-sum").textContent = t("products", { sum: number(sum) });
  }

  return { show };
}

/** Return a place as readers count: from 1. */
function counted({ row, column }) {
  return { row: row + 1, column: column + 1 };
}

/** Fill a small matrix; null is padding. */
function fill(id, values, kind, largest, name) {
  const digits = largest >= 10 ? 1 : 2;
  [...$(id).children].forEach((node, n) => {
    const { color, isDark } = cssColour(kind, values[n] ?? 0, largest);
    node.textContent = values[n] === null ? "" : number(values[n], digits);
    node.classList.toggle("padding", values[n] === null);
    node.style.backgroundColor = values[n] === null ? "" : color;
    node.style.color = isDark ? "#fff" : "#17141f";
  });
  const spoken = values.map((value) => (value === null ? t("padding") : number(value, digits)));
  $(id).setAttribute("aria-label", t("matrix label", { name, values: spoken.join(", ") }));
}

/** List terms as bars: [words, {value, weight, product}]. */
function list(id, rows, largest = Math.max(...rows.map(([, { product }]) => Math.abs(product)), 1e-9)) {
  $(id).replaceChildren(...rows.map(([words, { value, weight, product }]) => {
    const bar = element("span", { className: `bar ${product < 0 ? "negative" : "positive"}` });
    bar.style.width = `${(100 * Math.min(Math.abs(product) / largest, 1)).toFixed(1)}%`;
    const sum = value === undefined ? "" : `${number(value)} × ${number(weight)} = `;
    return element("li", {},
      element("span", { className: "words", textContent: words }),
      element("span", { className: "number", textContent: sum + number(product) }),
      element("span", { className: "track" }, bar));
  }));
}

/** Write numbers with what they are below, and signs or arrows between them. */
function equation(...parts) {
  $("equation").hidden = parts.length === 0;
  $("equation").replaceChildren(...parts.map((part) => {
    if (!Array.isArray(part)) {
      const isWord = part.length > 1;
      return element("span", { className: isWord ? "arrow" : "operator", textContent: part });
    }
    const [value, words] = part;
    const isNumber = typeof value === "number";
    return element("span", { className: "term" },
      element("b", {
        className: isNumber && value < -0.005 ? "negative" : isNumber && value > 0.005 ? "positive" : "",
        textContent: isNumber ? number(value) : value,
      }),
      element("small", { textContent: words }));
  }));
}

/** Draw a bar for each map of the layer before, up if positive, down if negative. */
function drawSums(values, chosen, largest) {
  const canvas = $("sums"), context = canvas.getContext("2d"), style = getComputedStyle(canvas);
  const width = canvas.clientWidth * devicePixelRatio, height = canvas.clientHeight * devicePixelRatio;
  if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
  context.clearRect(0, 0, width, height);
  const pitch = width / values.length, middle = height / 2;
  values.forEach((value, n) => {
    if (n === chosen) {
      context.fillStyle = style.getPropertyValue("--here-ground");
      context.fillRect(n * pitch, 0, pitch, height);
    }
    context.fillStyle = style.getPropertyValue(value < 0 ? "--negative" : "--positive");
    const length = value / largest * (middle - 2);
    context.fillRect(n * pitch + pitch * 0.15, Math.min(middle, middle - length), pitch * 0.7, Math.abs(length));
  });
  context.fillStyle = style.getPropertyValue("--soft");
  context.fillRect(0, Math.round(middle), width, 1);
}
