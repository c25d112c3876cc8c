/* How one number was computed: the panel that explains the chosen cell. Numbers are rounded so that
 * what is shown adds up as shown; a product of two rounded numbers stands behind "≈". */

import {
  convolutionTerms, denseTerms, inputOf, poolingTerms, receptiveField, strongestBefore, unflattened,
  windowOf,
} from "./engine.js";
import { fill } from "./grid.js";
import {
  $, add, addingUp, button, cellOf, counted, digitsFor, element, grouped, indexOfLargest,
  largestOf, number, percent, pointIn, svg,
} from "./kit.js";
import { colours, paint } from "./paint.js";
import { lang, t } from "./shell.js";

const STRONGEST = 6, STRONGEST_OF_A_SIDE = 4, WIRES = 40;
const sumOf = (terms) => terms.map(({ product }) => product).reduce(add, 0);

/** Make the panel. Calls onRefine(cell) when another cell of the same map, or another of the maps
 *  before, is chosen inside it, and onBack(cell) when the reader follows a term to where it is
 *  from. */
export function createDetail(model, { onRefine, onBack }) {
  const canvas = element("canvas"), mark = element("div", { className: "mark" });
  $("enlarged").append(canvas, mark);
  canvas.onclick = (event) => {
    const { x, y } = pointIn(canvas, event, canvas.width, canvas.height);
    onRefine({ row: Math.floor(y), column: Math.floor(x) });
  };
  $("source").oninput = () => onRefine({ source: $("source").value - 1 });
  const last = model.layers.length - 1;

  /** Explain a cell of a result. Returns what flow.mark wants to know, and the value in words. */
  function show(result, cell, source, isBefore) {
    const layer = model.layers[cell.layer];
    const kind = cell.layer === last ? "output" : layer.kind;
    $("detail").dataset.kind = kind;
    $("source").parentElement.hidden = kind !== "conv" || layer.input[2] === 1;
    $("enlarged").hidden = !["conv", "pool", "dense"].includes(kind);
    mark.hidden = kind === "dense"; // which has no cell
    const { output, before } = result.layers[cell.layer], own = (isBefore && before) || output;
    const explain = { conv, pool, dense, output: classes }[kind] ?? passedOn;
    const explained = explain({ result, cell, source, layer, own, title: titleOf(cell) });
    $("working").className = kind === "output" ? "sides" : "terms";
    $("working").replaceChildren(...explained.working ?? []);
    return explained;
  }

  /** Name a cell: its layer and its map or number, counted from 1; a class by its name. */
  function titleOf({ layer: index, channel }) {
    const { name, shape } = model.layers[index];
    if (index === last) return model.class_names[lang][channel];
    return t(shape.length === 3 ? "map cell" : "unit cell", { name, n: grouped(channel + 1) });
  }

  function heading(title, text, gloss = "") {
    $("detail-heading").textContent = title;
    $("detail-text").textContent = text;
    $("detail-gloss").textContent = gloss;
  }

  /** Return what follows a term to the cell before that it is from. */
  const back = (cell, channel, place) =>
    () => onBack({ row: 0, column: 0, ...place, layer: cell.layer - 1, channel });

  /** Head a cell of a map, enlarge the map, and return what the cell sees of the image. */
  function locate({ cell, layer, title, own }, gloss) {
    const { layer: index, row, column } = cell, [height, width, count] = layer.shape;
    const field = receptiveField(model, index, row, column);
    const size = ({ top, bottom, left, right }) => `${bottom - top}×${right - left}`;
    const whole = size(receptiveField(model, index, height >> 1, width >> 1));
    const values = { ...counted(cell), size: `${height}×${width}`, field: size(field) };
    heading(title, t(size(field) === whole ? "where cell" : "where cell at edge", values), gloss);
    const map = own.filter((_, n) => n % count === cell.channel);
    paint(canvas, map, width, colours("maps", largestOf(map)));
    Object.assign(mark.style, {
      left: `${100 * column / width}%`, top: `${100 * row / height}%`,
      width: `${100 / width}%`, height: `${100 / height}%`,
    });
    return field;
  }

  function conv(about) {
    const { result, cell, source: asked, layer, title } = about;
    const terms = convolutionTerms(
      model, result, cell.layer, cell.row, cell.column, cell.channel);
    const parts = terms.channels.map(({ sum }) => sum), count = parts.length;
    const strongest = Math.max(largestOf(parts), 1e-9);
    const source = asked ?? indexOfLargest(parts.map(Math.abs));
    const field = locate(about, t("conv gloss"));
    const { values, weights, products, sum } = terms.channels[source];
    const isImage = cell.layer === 0;
    const inputs = isImage ? 1 : largestOf(inputOf(result, cell.layer));
    const digits = digitsFor(Math.max(largestOf(values), largestOf(products), Math.abs(terms.sum)));
    const rounded = addingUp(products, digits);
    const followed = values.map((value, n) => {
      const { row, column } = cellOf(n, 3);
      const place = { row: cell.row + row - 1, column: cell.column + column - 1 };
      return isImage || value === null ? null : back(cell, source, place);
    });
    const window = isImage ? t("window image") : t("window map", { map: source + 1 });
    const all = t("products", { sum: number(sum, digits) });
    const working = [
      matrix(values, isImage ? "grey" : "signed", inputs, window, digits, followed),
      operator("×"), matrix(weights, "signed", largestOf(weights), t("weights"), digits),
      operator("≈"), matrix(rounded, "signed", largestOf(products), all, digits),
    ];
    const bias = [terms.bias, t("bias")];
    if (count > 1) {
      $("sums-text").textContent = t("sums text", { n: count });
      drawSums(parts, strongest);
      const text = `${source + 1}: ${number(sum, digits)}`;
      Object.assign($("source"), { max: count, value: source + 1, ariaValueText: text });
      $("source").style.setProperty("--count", count);
      const others = [terms.sum - sum, t("rest of terms", { n: count - 1 })];
      neuron([[sum, t("this map", { map: source + 1 })], others, bias], digits);
    } else neuron([[sum, t("sum")], bias], digits);
    return {
      field, working,
      value: t("cell value", { title, ...counted(cell), value: number(terms.output, digits) }),
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
    const field = locate(about, t("pool gloss")), most = largestOf(own), digits = digitsFor(most);
    const followed = values.map((_, n) => {
      const { row, column } = cellOf(n, 2);
      const place = { row: 2 * cell.row + row, column: 2 * cell.column + column };
      return back(cell, cell.channel, place);
    });
    const words = t("window map", { map: cell.channel + 1 });
    const window = matrix(values, "signed", most, words, digits, followed, "two");
    window.querySelector(".matrix").children[largest].classList.add("on");
    const winner = matrix([value], "signed", most, t("the largest"), digits, [], "one");
    equation();
    return {
      field, working: [window, operator(t("max")), winner],
      value: t("cell value", { title, ...counted(cell), value: number(value, digits) }),
      sources: [{ ...windowIn(layer, cell), channel: cell.channel, strength: 1, isFramed: true }],
    };
  }

  /** Explain a cell that passes its number on: of Flatten or of Dropout. */
  function passedOn({ result, cell, layer: { kind }, title, own }) {
    const from = strongestBefore(model, result, cell), { layer, row, column, channel } = from;
    const value = own[cell.channel], text = number(value, digitsFor(Math.abs(value)));
    heading(title, t(`${kind} text`, { ...counted(from), map: channel + 1 }));
    equation([text, titleOf(from), () => onBack(from)], "=", [text, title]);
    return {
      field: kind === "flatten" && receptiveField(model, layer, row, column),
      value: `${title}: ${text}`,
      sources: [{ ...from, strength: 1, isFramed: true }],
    };
  }

  function dense({ result, cell, title }) {
    const { terms, sum, bias, total } = denseTerms(model, result, cell.layer, cell.channel);
    const count = inputOf(result, cell.layer).length, value = Math.max(total, 0);
    heading(title, t("dense text", { n: grouped(count) }), t("dense gloss"));
    const [height, width] = model.layers.findLast(({ kind }) => kind === "pool").shape;
    const places = new Float32Array(height * width);
    for (const { input, product } of terms) {
      const { row, column } = unflattened(model, input);
      places[row * width + column] += product;
    }
    paint(canvas, places, width, colours("signed", largestOf(places)));
    const strongest = terms.slice(0, STRONGEST), others = grouped(count - strongest.length);
    const rest = sum - sumOf(strongest);
    const digits = digitsFor(Math.max(Math.abs(sum), Math.abs(rest)));
    const rows = strongest.map((term) => {
      const from = unflattened(model, term.input);
      const words = t("dense input", { ...counted(from), map: from.channel + 1 });
      return [words, term, back(cell, term.input)];
    });
    rows.push([t("rest of terms", { n: others }), { product: rest }]);
    neuron([[sum, t("sum of", { n: grouped(count) })], [bias, t("bias")]], digits);
    return {
      value: `${title}: ${number(value, digits)}`, sources: wiresOf(terms),
      working: [list(rows, digits)],
    };
  }

  function classes({ result, cell, own, title: name }) {
    const { terms, bias, total } = denseTerms(model, result, cell.layer, cell.channel);
    const probability = percent(own[cell.channel]), { logits } = result;
    const hidden = { layer: cell.layer - 1 }; // dropout passes on what "hidden" gives
    heading(t("output cell", { name }), t("output text"), t("output gloss"));
    const digits = digitsFor(largestOf(terms.map(({ product }) => product)));
    const sides = [["for", 1], ["against", -1]].map(([side, sign]) => {
      const parts = terms.filter(({ product }) => sign * product > 0);
      const rows = parts.slice(0, STRONGEST_OF_A_SIDE).map((term) => (
        [t("hidden unit", { unit: term.input + 1 }), term, back(hidden, term.input)]));
      const others = parts.slice(STRONGEST_OF_A_SIDE);
      if (others.length) {
        rows.push([t("rest of terms", { n: others.length }), { product: sumOf(others) }]);
      }
      return { side, rows, sum: sumOf(parts) };
    });
    const largest = largestOf(sides.flatMap(({ rows }) => rows.map(([, { product }]) => product)));
    const parts = sides.map(({ side, rows, sum }) => element("div", {},
      element("h3", { className: sum < 0 ? "negative" : "positive", textContent: t(side) }),
      list(rows, digits, largest), element("p", { className: "total" }, number(sum, digits))));
    const summed = [...sides.map(({ side, sum }) => [sum, t(side)]), [bias, t("bias")]];
    equation(...joined(summed, digits), "=", [number(total, digits), t("logit")]);
    return {
      value: `${name}: ${probability}`, sources: wiresOf(terms),
      working: [...parts, ledger(logits, own, cell.channel)],
    };
  }

  /** List ten logits, e to the power of each, and the shares of these that softmax gives. */
  function ledger(logits, shares, chosen) {
    const powers = Array.from(logits, Math.exp), total = powers.reduce(add);
    const digits = total < 100 ? 3 : total < 1000 ? 2 : 0;
    const raised = addingUp(powers, digits), percents = addingUp(shares.map((p) => 100 * p), 2);
    const write = (value) => (digits ? number(value, digits) : grouped(value));
    const rows = model.class_names[lang].map((name, n) => [
      name, number(logits[n], 3), write(raised[n]), `${number(percents[n], 2)}%`]);
    const all = [t("sum"), "", write(raised.reduce(add)), "100.00%"];
    const head = [t("softmax"), t("logit"), t("power"), t("share")];
    return element("table", { className: "ledger" }, ...[head, ...rows, all].map((cells, n) =>
      element("tr", { ariaCurrent: n === chosen + 1 }, ...cells.map((textContent, m) =>
        element(n === 0 || m === 0 ? "th" : "td", { textContent })))));
  }

  function wiresOf(terms) {
    const strongest = Math.abs(terms[0]?.product ?? 1);
    return terms.slice(0, WIRES).map(({ input, product }) => (
      { channel: input, row: 0, column: 0, strength: product / strongest }));
  }

  return { show };
}

/** Return where a cell's window lies in the layer before, for flow.mark. */
function windowIn(layer, cell) {
  const { top, left, bottom, right } = windowOf(layer, cell.row, cell.column);
  return { row: top, column: left, height: bottom - top, width: right - left };
}

const operator = (textContent) => element("span", { className: "operator", textContent });

/** Make a small matrix over its name; null is padding. `followed` has functions for clicks. */
function matrix(values, kind, strongest, name, digits, followed = [], size = "") {
  const texts = values.map((value) => (value === null ? t("padding cell") : number(value, digits)));
  const cells = values.map((value, n) => {
    const onclick = followed[n], label = t("follow", { value: texts[n] });
    const cell = onclick ? button({ onclick, ariaLabel: label, title: label }) : element("span");
    cell.className = value === null ? "cell padding" : "cell";
    if (value !== null) fill(cell, value, kind, strongest, texts[n]);
    return cell;
  });
  const ariaLabel = `${name}: ${texts.join(", ")}`;
  const role = followed.some(Boolean) ? "group" : "img";
  return element("figure", {},
    element("div", { className: `matrix ${size}`, role, ariaLabel }, ...cells),
    element("figcaption", { textContent: name }));
}

/** List terms as bars: [words, {value, weight, product}, what follows it]; they add up as shown. */
function list(rows, digits, largest = largestOf(rows.map(([, { product }]) => product)) || 1) {
  const rounded = addingUp(rows.map(([, { product }]) => product), digits);
  const items = rows.map(([words, { value, weight, product }, onclick], n) => {
    const width = `${(100 * Math.abs(product) / largest).toFixed(1)}%`;
    const sum = value === undefined ? "" : `${number(value, 3)} × ${number(weight, 3)} ≈ `;
    const className = `bar ${product < 0 ? "negative" : "positive"}`;
    const parts = [
      element("span", { className: "words", textContent: words }),
      element("span", { className: "number", textContent: sum + number(rounded[n], digits) }),
      element("span", { className: "track" }, element("span", { className, style: { width } })),
    ];
    const node = onclick ? button({ onclick }) : element("div");
    node.append(...parts);
    return element("li", {}, node);
  });
  return element("ol", { className: "inputs" }, ...items);
}

/** Round the parts of a sum, the last so that it adds up, and put "+" between them. */
function joined(parts, digits) {
  const round = (value) => Math.round(value * 10 ** digits) / 10 ** digits;
  const values = parts.map(([value]) => value), rounded = values.map(round);
  const others = rounded.slice(0, -1).reduce(add, 0);
  rounded[rounded.length - 1] = round(round(values.reduce(add)) - others);
  return parts.flatMap(([, words], n) => [...n ? ["+"] : [], [number(rounded[n], digits), words]]);
}

/** Write how a sum becomes the output of a unit. */
function neuron(parts, digits) {
  const total = parts.reduce((sum, [value]) => sum + value, 0);
  equation(...joined(parts, digits), "=", [number(total, digits), ""], t("relu"),
    [number(Math.max(total, 0), digits), t("result")]);
}

/** Write numbers with what they are below, and signs or arrows between them. */
function equation(...parts) {
  $("equation").hidden = parts.length === 0;
  $("equation").replaceChildren(...parts.map((part) => {
    if (!Array.isArray(part)) {
      return part.length > 1 ? element("span", { className: "arrow", textContent: part })
        : operator(part);
    }
    const [text, words, onclick] = part;
    const className = text.startsWith("−") ? "negative" : Number(text) > 0 ? "positive" : "";
    const node = element("span", { className: "term" },
      element("b", { className, textContent: text }), element("small", { textContent: words }));
    return onclick ? button({ className: "plain", onclick }, node) : node;
  }));
}

/** Draw a bar for each map of the layer before, up if positive, down if negative. */
function drawSums(values, largest) {
  const pitch = 10, middle = 26;
  const bars = values.map((value, n) => {
    const height = Math.abs(value) / largest * (middle - 2);
    const [name, y] = value < 0 ? ["negative", middle] : ["positive", middle - height];
    return svg("rect", { class: name, x: (n + 0.15) * pitch, y, width: 0.7 * pitch, height });
  });
  const width = values.length * pitch, y = middle + 0.5;
  $("sums").setAttribute("viewBox", `0 0 ${width} ${2 * middle}`);
  $("sums").replaceChildren(...bars, svg("line", { x2: width, y1: y, y2: y }));
}
