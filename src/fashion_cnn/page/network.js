/* The view of the whole network: it ties the drawing area, the answer, the layers and the panel. */

import { createDetail } from "./detail.js";
import { covered, readModel, run, squareAround, strongestPath, unlikenessOf } from "./engine.js";
import { createFlow, wide } from "./flow.js";
import {
  $, SIDE, button, clamp, counted, element, grouped, imageOf, indexOfLargest, largestOf,
  makeOneStop, number, percent, read, textOf, withStorage,
} from "./kit.js";
import { createPad } from "./pad.js";
import { pack, paint } from "./paint.js";
import { createPhoto } from "./photo.js";
import { announce, lang, onChange, start, t } from "./shell.js";
import words from "./words/network.js";

const SURE = 0.6; // as fashion_cnn.prediction: below, a photo's class is as often wrong as right
const FIRST_MINUTE = "fashion-cnn first minute"; // how many of its steps are done
const STEPS = ["draw", "point", "follow", "cover"];
const SHOWN = 8; // examples, before "more"
const BRUSHES = [1, 1.5, 2.5]; // radius in cells
const REST_MS = 150; // on a layer, before it is explained
const BESIDE = 8, HEADER = 64; // pixels between a layer and the panel, and at the window's top
const VIOLET = [150, 110, 255], ORANGE = [255, 140, 30];

const [{ writeArticle }, { default: article }] = "embed" in document.documentElement.dataset
  ? [{}, {}] : await Promise.all([import("./article.js"), import("./words/article.js")]);
start("network", { ...words, ...article });
const [model, examples, judge] = await load().catch((error) => {
  $("trouble").textContent = t("no model");
  $("trouble").hidden = false;
  throw error;
});
const output = model.layers.length - 1;
let remembered = ""; // of the address

const state = {
  truth: undefined, // the label of an example; null if it is none of the ten; else a drawing
  result: null, // of what is seen
  whole: null, // of the picture without the patch
  isUnlike: false, // whether that picture is unlike those that the network learned from
  cell: null, // the explained one; with none, the strongest path is shown
  source: null, // which of the maps before is looked at
  trail: [], // the cells by which the reader came to it
  isHeld: false, // whether the reader chose the cell
  opener: null, // what had the focus before the panel
  isBefore: false, // whether maps are shown as they are before ReLU
  step: Number(withStorage(() => localStorage.getItem(FIRST_MINUTE)) ?? 0),
  looked: null, // the occlusion map of a class: {label, drops, rows, workers}
  explained: null, // what the panel says of the cell
};

const bars = model.class_names.en.map((_, channel) => {
  const part = (className) => element("span", { className });
  const [name, value, fill, before] = ["words", "value", "fill", "before"].map(part);
  const track = element("span", { className: "track" }, fill, before);
  const node = button({}, name, track, value);
  const cell = { layer: output, channel, row: 0, column: 0 };
  node.onclick = () => pick(cell);
  node.onpointermove = ({ pointerType }) => pointerType === "mouse" && point(cell);
  node.onpointerleave = () => point(null);
  $("bars").append(node);
  return { node, name, value, fill, before };
});
const pad = createPad({
  onChange: (how) => {
    if (how === "draw" || how === "set") forgetExample();
    if (pad.patch === null) forget();
    done(how);
    redrawSoon();
  },
  onPoint: (row, column) => requestAnimationFrame(() => announce(pointed(row, column))),
});
const flow = createFlow(model, bars.map(({ node }) => node), { onPoint: point, onChoose: pick });
const detail = createDetail(model, {
  onRefine: ({ source, ...place }) => {
    if (source === undefined) state.cell = { ...state.cell, ...place };
    state.source = source ?? null;
    explain();
    announce(state.explained.value);
  },
  onBack: (cell) => {
    const trail = [...state.trail, state.cell];
    pick(cell);
    state.trail = trail;
    explain();
    if (trail.length > 1) done("follow");
    enterPanel();
  },
});
const photo = createPhoto(Boolean(model.server), {
  measure: (image) => unlikenessOf(judge, image),
  onPrepared: (pixels) => {
    pad.set(pixels);
    announceAnswer();
  },
});

async function load() {
  const [manifest, drawings, weights] = await Promise.all([
    read("model/model.json"), read("examples.json"), fetch("model/weights.bin"),
  ]);
  const decoded = drawings.map(({ label, pixels }) => ({ label, pixels: imageOf(pixels) }));
  const { unlikeness } = manifest; // a network for another data set has none
  const others = unlikeness && await fetch("model/unlikeness.bin");
  return [readModel(manifest, await weights.arrayBuffer()), decoded,
    unlikeness && readModel(unlikeness, await others.arrayBuffer())];
}

function redrawSoon() {
  cancelAnimationFrame(redrawSoon.frame);
  redrawSoon.frame = requestAnimationFrame(redraw);
}

function redraw() {
  performance.mark("redraw");
  if (!pad.patch || !state.whole) {
    state.whole = run(model, pad.pixels);
    state.isUnlike = pad.pixels.some(Boolean) && unlikenessOf(judge, pad.pixels) > 1;
  }
  state.result = pad.patch ? run(model, covered(pad.pixels, pad.patch).image) : state.whole;
  flow.show(state.result, state.isBefore);
  showAnswer();
  explain();
  performance.measure("redraw", "redraw");
}

/** Explain a cell while the mouse points at it, unless the reader chose another. */
function point(cell) {
  clearTimeout(point.timer);
  if (state.isHeld) return;
  const isNear = cell && cell.layer === state.cell?.layer; // else it may only be passing by
  point.timer = setTimeout(() => {
    choose(cell);
    if (cell) done("point");
  }, isNear ? 0 : REST_MS);
}

/** Choose a cell by a click or a key: it stays explained, and is read out. Again: let it go. */
function pick(cell, key = "") {
  const isSame = JSON.stringify(cell) === JSON.stringify(state.cell);
  clearTimeout(point.timer);
  state.isHeld = Boolean(key) || !(state.isHeld && isSame);
  choose(state.isHeld ? cell : null);
  if (!state.isHeld) return;
  done("point");
  announce(state.explained.value);
  if (!wide.matches) { // the chosen cell stays in sight above the sheet
    const { top } = $("stage").getBoundingClientRect(), sheet = $("detail").offsetHeight;
    document.body.style.paddingBottom = `${sheet}px`;
    const { middle, bottom } = flow.spanOf(cell), away = top + bottom + 16 - innerHeight + sheet;
    if (away > 0 || top + middle < HEADER) scrollBy(0, away);
  }
  if (key === "Enter") enterPanel();
}

/** Lead the keyboard into the panel, from where `letGo` leads back. */
function enterPanel() {
  if (!isInPanel()) state.opener = document.activeElement;
  ($("detail").querySelector("#working button, #equation button") ?? $("close")).focus();
}
const isInPanel = () => $("detail").contains(document.activeElement);

function choose(cell) {
  Object.assign(state, { cell, source: null, trail: [] });
  explain();
}

function letGo() {
  if (isInPanel()) state.opener?.focus();
  state.isHeld = false;
  document.body.style.paddingBottom = "";
  choose(null);
}

/** Explain the chosen cell; with none, show the strongest path from the answer to the image. */
function explain() {
  const { cell, result, source, isHeld } = state;
  const isNew = $("detail").hidden;
  $("detail").hidden = !cell;
  $("detail").classList.toggle("held", isHeld);
  bars.forEach(({ node }, n) => {
    node.ariaCurrent = cell?.layer === output && cell.channel === n;
  });
  if (cell) {
    state.explained = detail.show(result, cell, source, state.isBefore);
    flow.mark(cell, state.explained.sources);
    pad.show(state.explained.field);
    if (wide.matches) place(cell);
    if (isNew) $("detail").scrollTop = 0;
    showTrail(isHeld ? [...state.trail, cell] : []);
  } else {
    const channel = indexOfLargest(probabilitiesOf(result));
    const path = strongestPath(model, result, { layer: output, channel, row: 0, column: 0 });
    flow.trace(path);
    const end = path.at(-1);
    pad.show(end.layer < 0 && squareAround(end, 3));
    showTrail(path);
  }
  rememberSoon();
}

/** Put the panel beside the cell: to its right, or left of what it was computed from. */
function place(cell) {
  const panel = $("detail"), { middle, left, right, near } = flow.spanOf(cell);
  const { clientWidth: width, clientHeight: height } = $("stage");
  const isRight = right + BESIDE + panel.offsetWidth <= width;
  const besideBars = $("bars").offsetLeft - panel.offsetWidth - BESIDE;
  const x = isRight ? Math.min(right, Math.max(near, besideBars)) + BESIDE
    : Math.max(0, left - BESIDE - panel.offsetWidth);
  const top = Math.max(0, HEADER - $("stage").getBoundingClientRect().top); // in sight
  const y = clamp(middle - panel.offsetHeight / 2, top, Math.max(top, height - panel.offsetHeight));
  Object.assign(panel.style, { left: `${x}px`, top: `${y}px` });
}

/** List cells, each of which can be chosen, with arrows between them. */
function showTrail(cells) {
  const steps = cells.map((cell, n) => {
    const { layer, channel } = cell, name = model.layers[layer]?.name;
    const textContent = layer === output ? nameOf(channel)
      : layer < 0 ? t("pixels") : `${name} ${grouped(channel + 1)}`;
    if (layer < 0 || cell === state.cell) return element("b", { textContent });
    return button({
      className: "plain", textContent,
      onclick: () => {
        pick(cell);
        if (state.isHeld) state.trail = cells.slice(0, n);
        explain();
      },
    });
  });
  const textContent = t(!state.cell ? "strongest path" : state.isHeld ? "trail" : "click to keep");
  $("trail").hidden = state.isHeld && cells.length === 1;
  $("trail").replaceChildren(`${textContent} `, ...steps.flatMap((step, n) =>
    (n ? [" ← ", step] : [step])));
}

// The answer

const nameOf = (label) => model.class_names[lang][label];
const probabilitiesOf = (result) => result.layers[output].output;

function showAnswer() {
  const probabilities = probabilitiesOf(state.result), before = probabilitiesOf(state.whole);
  const first = indexOfLargest(probabilities);
  bars.forEach(({ node, name, value, fill, before: mark }, n) => {
    name.textContent = nameOf(n);
    value.textContent = percent(probabilities[n]);
    fill.style.width = `${(100 * probabilities[n]).toFixed(1)}%`;
    mark.hidden = !pad.patch;
    mark.style.left = `${(100 * before[n]).toFixed(1)}%`;
    node.classList.toggle("first", n === first);
    node.ariaLabel = t("bar label", { name: nameOf(n), percent: percent(probabilities[n]) });
  });
  const isEmpty = pad.pixels.every((value) => value === 0);
  const isSure = probabilities[first] >= SURE;
  $("invitation").hidden = !isEmpty;
  $("unlike").hidden = !state.isUnlike;
  const name = isSure ? nameOf(first) : `${nameOf(first)}?`;
  $("answer-heading").textContent = isEmpty ? t("nothing drawn") : name;
  $("verdict").textContent = isEmpty ? t("nothing drawn note") : verdict(first, isSure);
  const isJudged = state.truth !== undefined && !pad.patch;
  $("verdict").className = isJudged ? state.truth === first ? "right" : "wrong" : "";
}

function verdict(first, isSure) {
  const { truth } = state;
  const probabilities = probabilitiesOf(state.result), before = probabilitiesOf(state.whole);
  const values = { percent: percent(probabilities[first]) };
  if (pad.patch) {
    const most = indexOfLargest(before);
    const [then, now] = [before, probabilities].map((part) => percent(part[most]));
    return t("covered", { name: nameOf(most), before: then, after: now });
  }
  if (truth === null) return t("no name", values);
  if (truth === first) return t("right", values);
  if (truth !== undefined) return t("wrong", { ...values, truth: nameOf(truth) });
  if (isSure || state.isUnlike) return t("sure", values); // as Prediction.remark
  const second = indexOfLargest(probabilities.map((p, n) => (n === first ? -1 : p)));
  return t("unsure", { ...values, second: nameOf(second) });
}

function announceAnswer() {
  requestAnimationFrame(() => announce([...$("headline").children]
    .filter((part) => !part.hidden).map((part) => part.textContent).join(". ")));
}

/** Say what is at a cell of the picture. */
function pointed(row, column) {
  const place = counted({ row, column }), n = row * SIDE + column, { looked } = state;
  const probabilities = probabilitiesOf(state.result), first = indexOfLargest(probabilities);
  const name = nameOf(first), sure = percent(probabilities[first]);
  if (looked?.rows === SIDE) {
    const change = number(-100 * looked.drops[n], 0);
    return t("looked at", { ...place, change, name: nameOf(looked.label) });
  }
  if (pad.tool === "cover") return t("cover at", { ...place, name, percent: sure });
  return `${t("cell", { ...place, percent: percent(pad.pixels[n]) })}. ${name}, ${sure}`;
}

// Where it looked: workers take a row each in turn

$("look").onclick = () => {
  if (state.looked) {
    forget();
    return;
  }
  useTool(pad.tool === "cover" ? "draw" : pad.tool);
  $("look").ariaPressed = true;
  state.result = state.whole = run(model, pad.pixels);
  const label = indexOfLargest(probabilitiesOf(state.whole)), rows = [...Array(SIDE).keys()];
  const count = clamp(navigator.hardwareConcurrency, 2, 4);
  const workers = Array.from({ length: count }, (_, n) => {
    const worker = new Worker("looking.js", { type: "module" });
    worker.onmessage = noteLooked;
    worker.postMessage({
      model: { layers: model.layers }, image: pad.pixels, label,
      rows: rows.filter((row) => row % count === n),
    });
    return worker;
  });
  state.looked = { label, drops: new Float32Array(SIDE * SIDE), rows: 0, workers };
  $("looked").hidden = $("look-note").hidden = false;
  showLooked();
  document.querySelector(".pad").scrollIntoView({ block: "nearest" });
};

function noteLooked({ data: { row, drops } }) {
  const { looked } = state;
  looked.drops.set(drops, row * SIDE);
  looked.rows += 1;
  showLooked();
  if (looked.rows === SIDE) announce($("look-note").textContent);
}

function showLooked() {
  if (!state.looked) return;
  const { drops, label, rows } = state.looked, largest = Math.max(largestOf(drops), 1e-9);
  paint($("looked"), drops, SIDE, (drop) =>
    pack(drop > 0 ? VIOLET : ORANGE, 235 * Math.abs(drop) / largest));
  const values = { name: nameOf(label), drop: number(100 * Math.max(...drops), 0) };
  $("look-note").textContent = rows === SIDE ? t("looked", values)
    : t("looking", { percent: Math.round(100 * rows / SIDE) });
}

/** Remove the map of where it looked, because the picture changed. */
function forget() {
  state.looked?.workers.forEach((worker) => worker.terminate());
  state.whole = state.looked = null;
  $("looked").hidden = $("look-note").hidden = true;
  $("look").ariaPressed = false;
}

// Tools and examples

const tools = document.querySelectorAll("[data-tool]");

function useTool(tool) {
  pad.use(tool);
  for (const node of tools) node.ariaPressed = node.dataset.tool === tool;
}
for (const node of tools) {
  node.onclick = () => {
    forget();
    useTool(node.dataset.tool);
    redrawSoon();
  };
}
$("brush").onclick = () => {
  pad.radius = BRUSHES[(BRUSHES.indexOf(pad.radius) + 1) % BRUSHES.length];
  label();
};
$("undo").onclick = () => {
  pad.undo();
  announceAnswer();
};
$("choose").onclick = () => $("file").click();
$("photograph").onclick = () => $("camera").click();
$("clear").onclick = () => {
  pad.set(new Float32Array(SIDE * SIDE));
  announce(t("cleared"));
};

const thumbnails = examples.map(({ label, pixels }) => {
  const node = button({}, paint(element("canvas"), pixels, SIDE));
  node.onclick = () => {
    pad.set(pixels);
    state.truth = label;
    node.ariaCurrent = true;
    announceAnswer();
  };
  return node;
});
$("examples").prepend(...thumbnails);
$("more").onclick = () => {
  $("more").ariaExpanded = $("examples").classList.toggle("all");
  label();
};

function forgetExample() {
  state.truth = undefined;
  for (const node of thumbnails) node.ariaCurrent = null;
}

$("close").onclick = letGo;
addEventListener("keydown", ({ key }) => {
  if (key === "Escape" && state.cell) letGo();
});
$("stage").addEventListener("click", ({ target }) => { // beside everything
  if (target.matches(".stage, .layer, #flow, figcaption")) letGo();
});

for (const node of $("relu").children) {
  node.onclick = () => {
    state.isBefore = Boolean(node.dataset.before);
    for (const other of $("relu").children) other.ariaPressed = other === node;
    redraw();
  };
}

// Words that are not in the HTML

const weights = model.layers.flatMap((layer) => [layer.weights, layer.biases]);
const weightCount = weights.reduce((sum, part) => sum + (part?.length ?? 0), 0);

function label() {
  const { name, is_packaged: isPackaged, trained_on: data, accuracy, test_images: count } = model;
  const whose = name ? "named" : isPackaged ? "packaged" : "own";
  $("model").textContent = [
    t(`model ${whose}`, { name, n: grouped(weightCount) }),
    data ? t(`trained on ${data}`) : "",
    count ? t("accuracy", { count: grouped(count), percent: number(100 * accuracy, 1) }) : "",
  ].join(" ");
  $("model").classList.toggle("wrong", data === "stand-in");
  $("more").hidden = thumbnails.length <= SHOWN;
  $("brush").ariaLabel = $("brush").title = t("brush", { n: BRUSHES.indexOf(pad.radius) + 1 });
  $("brush").dataset.radius = pad.radius;
  const step = STEPS[state.step], what = t(model.is_of_garments ? "to wear" : "like the examples");
  $("skip").hidden = !step;
  $("coach").textContent = t(step ? `step ${step}` : "lead", { n: state.step + 1, what });
  $("more").textContent = t($("more").ariaExpanded === "true" ? "fewer" : "more");
  thumbnails.forEach((node, index) => {
    const shown = examples[index].label, n = index + 1;
    const what = shown === null ? t("something else") : nameOf(shown);
    node.ariaLabel = node.title = shown === undefined ? t("example without label", { n })
      : t("example label", { n, name: what });
  });
}

function writeAll() {
  label();
  flow.label();
  photo.write();
  writeArticle?.(model.layers[0].shape[2]);
}

onChange(() => {
  writeAll();
  redraw();
  showLooked();
});
new ResizeObserver(() => {
  flow.redraw();
  redraw();
}).observe($("stage"));

[$("tools"), $("bars"), $("examples")].forEach(makeOneStop);
writeAll();
if (!recall()) thumbnails[0].click();
redraw();
addEventListener("hashchange", recall);
document.documentElement.dataset.ready = "";

// The address says what is seen: #example=10&cell=conv2.13.5.8&relu=before, or picture=…

function remember() {
  const parts = new URLSearchParams(), { cell } = state;
  const example = thumbnails.findIndex((node) => node.ariaCurrent);
  if (example >= 0) parts.set("example", example + 1);
  else if (pad.pixels.some(Boolean)) parts.set("picture", textOf(pad.pixels));
  if (state.isHeld) {
    const place = [cell.channel, cell.row, cell.column].map((n) => n + 1);
    parts.set("cell", [model.layers[cell.layer].name, ...place].join("."));
  }
  if (state.isBefore) parts.set("relu", "before");
  remembered = `#${parts}`;
  history.replaceState(null, "", remembered);
}

function rememberSoon() { // browsers allow few changes a second
  clearTimeout(rememberSoon.timer);
  rememberSoon.timer = setTimeout(remember, 300);
}
addEventListener("pointerup", () => setTimeout(remember)); // at once, for who leaves or reloads

/** Show what the address asks for; tell whether it asks for anything. */
function recall() {
  const parts = new URLSearchParams(location.hash.slice(1));
  if (remembered && location.hash === remembered) return true;
  if (!["example", "picture", "cell"].some((key) => parts.has(key))) return false;
  const example = thumbnails[parts.get("example") - 1];
  const pixels = parts.has("picture") && withStorage(() => imageOf(parts.get("picture")));
  if (pixels?.length === SIDE * SIDE) pad.set(pixels);
  else (example ?? thumbnails[0]).click();
  $("relu").children[parts.get("relu") === "before" ? 0 : 1].click();
  const [name, ...numbers] = (parts.get("cell") ?? "").split(".");
  const layer = model.layers.findIndex((one) => one.name === name);
  if (layer < 0) {
    letGo();
    return true;
  }
  const { shape } = model.layers[layer];
  const [rows, columns, count] = shape.length === 3 ? shape : [1, 1, ...shape];
  const [channel, row, column] = [count, rows, columns].map((size, n) =>
    clamp((Number(numbers[n]) || 1) - 1, 0, size - 1));
  pick({ layer, channel, row, column }, "address");
  return true;
}

// The first minute: four steps, each done by doing it

function done(step) {
  if (step !== STEPS[state.step]) return;
  state.step += 1;
  withStorage(() => localStorage.setItem(FIRST_MINUTE, state.step));
  label();
}
$("skip").onclick = () => {
  state.step = STEPS.length - 1;
  done(STEPS.at(-1));
};
