/* How one number was computed: the panel that explains the chosen cell. */

import { convolutionTerms, denseTerms, inputOf, poolingTerms, receptiveField } from "./engine.js";
import { windowIn } from "./flow.js";
import { fill } from "./grid.js";
import {
  $, add, cellOf, clamp, counted, element, grouped, indexOfLargest, largestOf, number, onDrag,
  percent, pointIn, svg,
} from "./kit.js";
import { paint } from "./paint.js";
import { isCalm, lang, t } from "./shell.js";

const STRONGEST = 6, STRONGEST_OF_A_SIDE = 5, WIRES = 40, STEP_MS = 110;
const sumOf = (terms) => terms.map(({ product }) => product).reduce(add, 0);

/** Make the panel. Calls onRefine(cell) when another cell of the same map, or another of the maps
 *  before, is chosen inside it. */
export function createDetail(model, { onRefine }) {
  const canvas = element("canvas"), mark = element("div", { className: "mark" });
  canvas.onclick = (event) => {
    const { x, y } = pointIn(canvas, event, canvas.width, canvas.height);
    onRefine({ row: Math.floor(y), column: Math.floor(x) });
  };
  const enlarged = (words) =>
    captioned(element("div", { className: "enlarged" }, canvas, mark), words, "own");
  let channel = null, shown = { cell: null }, step = -1, timer = 0;
  const last = model.layers.length - 1;
  const dimensions = model.layers.findLast(({ kind }) => kind === "pool").shape;

  const sums = $("sums");
  const choose = (next) => onRefine({ source: clamp(next, 0, shown.terms.channels.length - 1) });
  const sourceAt = (event) =>
    choose(Math.floor(pointIn(sums, event, shown.terms.channels.length).x));
  onDrag(sums, { press: sourceAt, drag: sourceAt });
  sums.addEventListener("keydown", (event) => {
    const now = shown.source;
    const next = {
      ArrowLeft: now - 1, ArrowDown: now - 1, ArrowRight: now + 1, ArrowUp: now + 1,
      Home: 0, End: Infinity,
    }[event.key];
    if (next === undefined) return;
    event.preventDefault();
    choose(next);
  });

  /** Explain a cell of a result. Returns what flow.mark wants to know, and the value in words. */
  function show(result, cell, source = null) {
    const layer = model.layers[cell.layer];
    channel = source;
    const isNew = JSON.stringify([cell, source]) !== JSON.stringify([shown.cell, shown.asked]);
    shown = { cell, asked: source };
    const kind = layer.kind === "dense" && cell.layer === last ? "output" : layer.kind;
    sums.parentElement.hidden = kind !== "conv" || layer.input[2] === 1;
    const title = layer.shape.length === 3 ? t("map cell", { name: layer.name, map: cell.channel })
      : t("unit cell", { name: layer.name, unit: cell.channel });
    const explain = { conv, pool, flatten, dropout, dense, output }[kind];
    const own = result.layers[cell.layer].output;
    const explained = explain({ result, cell, layer, title, own });
    const { working = [] } = explained;
    $("calculation").hidden = working.length === 0;
    $("calculation").dataset.kind = kind;
    $("working").className = kind === "output" ? "sides" : "terms";
    $("working").replaceChildren(...working);
    if (isNew && kind === "conv") replay();
    return { field: null, ...explained };
  }

  function heading(title, text, gloss = "") {
    $("detail-heading").textContent = title;
    $("detail-text").textContent = text;
    $("detail-gloss").textContent = gloss;
  }

  /** Head a cell of a map, enlarge the map, and return what the cell sees of the image. */
  function locate({ cell, layer, title, own }, gloss) {
    const { layer: index, row, column } = cell, [height, width, count] = layer.shape;
    const field = receptiveField(model, index, row, column);
    const size = ({ top, bottom, left, right }) => `${bottom - top}×${right - left}`;
    const whole = size(receptiveField(model, index, height >> 1, width >> 1));
    const values = { ...counted(cell), size: `${height}×${width}`, field: size(field) };
    heading(title, t(size(field) === whole ? "where cell" : "where cell at edge", values), gloss);
    const map = own.filter((_, n) => n % count === cell.channel);
    paint(canvas, map, width, "maps", map.reduce((a, b) => Math.max(a, b), 0));
    mark.hidden = false;
    Object.assign(mark.style, {
      left: `${100 * column / width}%`, top: `${100 * row / height}%`,
      width: `${100 / width}%`, height: `${100 / height}%`,
    });
    return field;
  }

  function conv(about) {
    const { result, cell, layer, title } = about;
    const terms = convolutionTerms(
      model, result, cell.layer, cell.row, cell.column, cell.channel);
    const parts = terms.channels.map(({ sum }) => sum), count = parts.length;
    const strongest = Math.max(largestOf(parts), 1e-9);
    const source = channel ?? indexOfLargest(parts.map(Math.abs));
    const field = locate(about, t("conv gloss"));
    const { values, weights, products, sum } = terms.channels[source];
    const isImage = cell.layer === 0;
    const inputs = isImage ? 1 : largestOf(inputOf(result, cell.layer));
    const matrices = [
      matrix(values, isImage ? "grey" : "signed", inputs, t("window")),
      matrix(weights, "signed", largestOf(weights), t("weights")),
      matrix(products, "signed", largestOf(products), t("products", { sum: number(sum) })),
    ];
    const words = isImage ? t("window image") : t("window map", { map: source });
    const working = [
      enlarged(t("this map")), captioned(matrices[0], words), operator("×"),
      captioned(matrices[1], t("weights")), operator("="), captioned(matrices[2]),
    ];
    Object.assign(shown, { terms, source, matrices });
    partialSum();
    if (count > 1) {
      $("sums-text").textContent = t("sums text", { n: count });
      drawSums(parts, source, strongest);
      sums.ariaValueMax = count - 1;
      sums.ariaValueNow = source;
      sums.ariaValueText = `${source}: ${number(sum)}`;
    }
    neuron(terms, count === 1 ? t("sum") : t("sum of", { n: count }));
    return {
      field, working,
      value: t("cell value", { title, ...counted(cell), value: number(terms.output) }),
      sources: parts.map((part, n) => ({
        ...windowIn(layer, cell), channel: n, isFramed: n === source,
        strength: isImage ? Math.sign(part) || 1 : part / strongest,
      })),
    };
  }

  function pool(about) {
    const { result, cell, layer, title, own } = about;
    const { values, largest, output: value } = poolingTerms(
      model, result, cell.layer, cell.row, cell.column, cell.channel);
    const field = locate(about, t("pool gloss")), most = largestOf(own);
    const window = matrix(values, "signed", most, t("window"), "two");
    window.children[largest].classList.add("on");
    const winner = matrix([value], "signed", most, t("the largest"), "one");
    equation();
    return {
      field,
      working: [
        enlarged(t("this map")), captioned(window, t("window")), operator(t("max")),
        captioned(winner, t("the largest")),
      ],
      value: t("cell value", { title, ...counted(cell), value: number(value) }),
      sources: [{ ...windowIn(layer, cell), channel: cell.channel, strength: 1, isFramed: true }],
    };
  }

  /** Return the cell of the last maps that a number of the flattened row comes from. */
  function unflattened(n) {
    const [, width, count] = dimensions;
    return { channel: n % count, ...cellOf(Math.floor(n / count), width) };
  }

  function flatten(about) {
    const from = unflattened(about.cell.channel);
    const field = receptiveField(model, about.cell.layer - 1, from.row, from.column);
    const text = t("flatten text", { ...counted(from), map: from.channel });
    return { ...passedOn(about, text, from), field };
  }

  function dropout(about) {
    return passedOn(about, t("dropout text"), { channel: about.cell.channel, row: 0, column: 0 });
  }

  function passedOn({ cell, title, own }, text, from) {
    const value = own[cell.channel];
    heading(title, text);
    equation([value, ""]);
    return {
      value: t("unit value", { title, value: number(value) }),
      sources: [{ ...from, strength: 1, isFramed: true }],
    };
  }

  function dense({ result, cell, title }) {
    const { terms, sum, bias, total } = denseTerms(model, result, cell.layer, cell.channel);
    const count = inputOf(result, cell.layer).length, value = Math.max(total, 0);
    heading(title, t("dense text", { n: grouped(count) }));
    const [height, width] = dimensions, places = new Float32Array(height * width);
    for (const { input, product } of terms) {
      const { row, column } = unflattened(input);
      places[row * width + column] += product;
    }
    paint(canvas, places, width, "signed", largestOf(places));
    mark.hidden = true;
    const strongest = terms.slice(0, STRONGEST), others = grouped(count - strongest.length);
    const inputs = list([
      ...strongest.map((term) => {
        const from = unflattened(term.input);
        return [t("dense input", { ...counted(from), map: from.channel }), term];
      }),
      [t("rest of terms", { n: others }), { product: sum - sumOf(strongest) }],
    ]);
    neuron({ sum, bias, total, output: value }, t("sum of", { n: grouped(count) }));
    return {
      value: t("unit value", { title, value: number(value) }), sources: wiresOf(terms),
      working: [enlarged(t("by place")), inputs],
    };
  }

  function output({ result, cell, own }) {
    const { terms, bias, total } = denseTerms(model, result, cell.layer, cell.channel);
    const name = model.class_names[lang][cell.channel], probability = percent(own[cell.channel]);
    heading(t("output cell", { name }), t("output text"), t("output gloss"));
    const sides = [["for", 1, "positive"], ["against", -1, "negative"]];
    const [pro, contra] = sides.map(([side, sign, className]) => {
      const parts = terms.filter(({ product }) => sign * product > 0), sum = sumOf(parts);
      const others = parts.slice(STRONGEST_OF_A_SIDE);
      const head = element("h3", { className, textContent: t(side, { sum: number(sum) }) });
      const rows = parts.slice(0, STRONGEST_OF_A_SIDE).map((term) =>
        [t("hidden unit", { unit: term.input }), term]);
      const rest = [t("rest of terms", { n: others.length }), { product: sumOf(others) }];
      const shares = list(others.length ? [...rows, rest] : rows, Math.abs(terms[0]?.product ?? 1));
      return { term: [sum, t(`${side} label`)], part: element("div", {}, head, shares) };
    });
    equation(pro.term, "+", contra.term, "+", [bias, t("bias")], "=", [total, t("logit")],
      t("softmax"), [probability, name]);
    return {
      value: t("unit value", { title: name, value: probability }), sources: wiresOf(terms),
      working: [pro.part, contra.part],
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
    const { terms, source, matrices } = shown;
    if (!terms) return;
    matrices.forEach(({ children }, place) => [...children].forEach((node, n) => {
      node.classList.toggle("on", n === step);
      node.classList.toggle("later", place === 2 && step >= 0 && n > step);
    }));
    const products = terms.channels[source].products.slice(0, step < 0 ? 9 : step + 1);
    const sum = number(products.reduce(add, 0));
    matrices[2].nextSibling.textContent = t("products", { sum });
  }

  return { show };
}

const captioned = (node, words = "", className = "") => element("figure", { className }, node,
  element("figcaption", { textContent: words }));
const operator = (textContent) => element("span", { className: "operator", textContent });

/** Make a small matrix; null is padding. */
function matrix(values, kind, strongest, name, size = "") {
  const digits = strongest >= 10 ? 1 : 2;
  const texts = values.map((value) => (value === null ? t("padding") : number(value, digits)));
  const cells = values.map((value, n) => {
    const cell = element("span", { className: value === null ? "padding" : "" });
    if (value !== null) fill(cell, value, kind, strongest, texts[n]);
    return cell;
  });
  const ariaLabel = t("matrix label", { name, values: texts.join(", ") });
  return element("div", { className: `matrix ${size}`, role: "img", ariaLabel }, ...cells);
}

/** List terms as bars: [words, {value, weight, product}]. */
function list(rows, largest = largestOf(rows.map(([, { product }]) => product)) || 1) {
  const items = rows.map(([words, { value, weight, product }]) => {
    const length = `${(100 * Math.min(Math.abs(product) / largest, 1)).toFixed(1)}%`;
    const sum = value === undefined ? "" : `${number(value)} × ${number(weight)} = `;
    const className = `bar ${product < 0 ? "negative" : "positive"}`;
    return element("li", {},
      element("span", { className: "words", textContent: words }),
      element("span", { className: "number", textContent: sum + number(product) }),
      element("span", { className: "track" },
        element("span", { className, style: { width: length } })));
  });
  return element("ol", { className: "inputs" }, ...items);
}

/** Write how a sum of products becomes the output of a unit. */
function neuron({ sum, bias, total, output }, words) {
  equation([sum, words], "+", [bias, t("bias")], "=", [total, ""], t("relu"),
    [output, t("result")]);
}

/** Write numbers with what they are below, and signs or arrows between them. */
function equation(...parts) {
  $("equation").hidden = parts.length === 0;
  $("equation").replaceChildren(...parts.map((part) => {
    if (!Array.isArray(part)) {
      return part.length > 1 ? element("span", { className: "arrow", textContent: part })
        : operator(part);
    }
    const [value, words] = part;
    const sign = value < -0.005 ? "negative" : value > 0.005 ? "positive" : "";
    const textContent = typeof value === "number" ? number(value) : value;
    return element("span", { className: "term" },
      element("b", { className: sign, textContent }),
      element("small", { textContent: words }));
  }));
}

/** Draw a bar for each map of the layer before, up if positive, down if negative. */
function drawSums(values, chosen, largest) {
  const pitch = 10, middle = 32;
  const bars = values.map((value, n) => {
    const height = Math.abs(value) / largest * (middle - 2);
    const [name, y] = value < 0 ? ["negative", middle] : ["positive", middle - height];
    return svg("rect", { class: name, x: (n + 0.15) * pitch, y, width: 0.7 * pitch, height });
  });
  const width = values.length * pitch, y = middle + 0.5;
  $("sums").setAttribute("viewBox", `0 0 ${width} ${2 * middle}`);
  $("sums").replaceChildren(
    svg("rect", { class: "chosen", x: chosen * pitch, width: pitch, height: 2 * middle }), ...bars,
    svg("line", { x2: width, y1: y, y2: y }),
  );
}
