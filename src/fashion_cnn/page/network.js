/* The view of the whole network: it ties the drawing area, the answer, the layers and the panel. */

import { createDetail } from "./detail.js";
import { covered, occlusion, readModel, run } from "./engine.js";
import { createFlow } from "./flow.js";
import {
  $, SIDE, button, cellOf, counted, element, grouped, imageOf, indexOfLargest, largestOf, number,
  percent, read, withStorage,
} from "./kit.js";
import { createPad } from "./pad.js";
import { paint } from "./paint.js";
import { createPhoto } from "./photo.js";
import { announce, lang, onChange, start, t } from "./shell.js";
import words from "./words/network.js";

const SURE = 0.6; // as fashion_cnn.prediction: below, a photo's class is as often wrong as right
const DRAWING = "fashion-cnn drawing"; // where the browser keeps it until the tab is closed
const FRAME_MS = 12; // of computing at once, so that the page stays quick
const VIOLET = [150, 110, 255], ORANGE = [255, 140, 30];

start("network", words);
const [model, examples] = await load().catch((error) => {
  $("trouble").textContent = t("no model");
  $("trouble").hidden = false;
  throw error;
});
const output = model.layers.length - 1;

const state = {
  truth: undefined, // the label of an example; null if it is none of the ten; else a drawing
  result: null, // of what is seen
  whole: null, // of the picture without the patch
  cell: null, // the explained one; the strongest until the reader chooses
  source: null, // which of the maps before is looked at
  isChosen: false, // whether the reader chose the cell
  isHeld: false,
  isDue: false, // whether a redraw is asked for
  looked: null, // the occlusion map of a class: {label, drops, isWhole}
  explained: null, // what the panel says of the cell
};

const pad = createPad({
  onChange: (isDrawn) => {
    if (isDrawn) forgetExample();
    else if (!state.isChosen && pad.patch === null) state.cell = null;
    if (pad.patch === null) forget();
    redrawSoon();
  },
  onPoint: (row, column) => requestAnimationFrame(() => announce(pointed(row, column))),
});
const flow = createFlow(model, {
  onPoint: (next) => {
    if (!state.isHeld) choose(next);
  },
  onChoose: (next) => {
    const isSame = JSON.stringify(next) === JSON.stringify(state.cell);
    pick(next, !(state.isHeld && isSame));
  },
});
const detail = createDetail(model, {
  onRefine: ({ source, ...place }) => {
    if (source === undefined) choose({ ...state.cell, ...place });
    else choose(state.cell, source);
    announce(state.explained.value);
  },
});
const photo = createPhoto(Boolean(model.server), {
  onPrepared: (pixels) => {
    forgetExample();
    pad.set(pixels);
    announceAnswer();
  },
});

async function load() {
  const [manifest, drawings, weights] = await Promise.all([
    read("model/model.json"), read("examples.json"), fetch("model/weights.bin"),
  ]);
  const decoded = drawings.map(({ label, pixels }) => ({ label, pixels: imageOf(pixels) }));
  return [readModel(manifest, await weights.arrayBuffer()), decoded];
}

function redrawSoon() {
  if (state.isDue) return;
  state.isDue = true;
  requestAnimationFrame(redraw);
}

function redraw() {
  state.isDue = false;
  performance.mark("redraw");
  if (!pad.patch || !state.whole) state.whole = run(model, pad.pixels);
  state.result = pad.patch ? run(model, covered(pad.pixels, pad.patch).image) : state.whole;
  flow.show(state.result);
  showAnswer();
  explain();
  performance.measure("redraw", "redraw");
}

function choose(cell, source = null) {
  Object.assign(state, { cell, source, isChosen: true });
  explain();
}

/** Choose a cell by a click or a key: the panel opens where it is a sheet, and is read out. */
function pick(cell, isHeld) {
  hold(isHeld);
  choose(cell);
  $("detail").classList.add("open");
  announce(state.explained.value);
}

function explain() {
  state.cell ??= strongest(state.result.layers[0].output, model.layers[0].shape);
  const { cell, result, source } = state;
  state.explained = detail.show(result, cell, source);
  const { sources, field } = state.explained;
  flow.mark(cell, sources, field);
  pad.show(field);
  for (const [n, { node }] of bars.entries()) {
    node.ariaCurrent = cell.layer === output && cell.channel === n;
  }
}

function hold(isHeld) {
  state.isHeld = isHeld;
  $("hold").ariaPressed = isHeld;
}

// The answer

const bars = model.class_names.en.map((_, channel) => {
  const part = (className) => element("span", { className });
  const [name, value, fill, before] = ["words", "value", "fill", "before"].map(part);
  const track = element("span", { className: "track" }, fill, before);
  const node = button({
    onclick: () => pick({ layer: output, channel, row: 0, column: 0 }, true),
  }, name, track, value);
  $("bars").append(element("li", {}, node));
  return { node, name, value, fill, before };
});

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
  const perhaps = isSure ? nameOf(first) : t("perhaps", { first: nameOf(first) });
  $("answer-heading").textContent = isEmpty ? t("nothing drawn") : perhaps;
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
  if (isSure) return t("sure", values);
  const second = indexOfLargest(probabilities.map((p, n) => (n === first ? -1 : p)));
  return t("unsure", { ...values, second: nameOf(second) });
}

function announceAnswer() {
  requestAnimationFrame(() =>
    announce(`${$("answer-heading").textContent}. ${$("verdict").textContent}`));
}

/** Say what is at a cell of the picture. */
function pointed(row, column) {
  const place = counted({ row, column }), n = row * SIDE + column, { looked } = state;
  const probabilities = probabilitiesOf(state.result), first = indexOfLargest(probabilities);
  const answer = { name: nameOf(first), percent: percent(probabilities[first]) };
  if (looked?.isWhole) {
    const change = number(-100 * looked.drops[n], 0);
    return t("looked at", { ...place, change, name: nameOf(looked.label) });
  }
  if (pad.tool === "cover") return t("cover at", { ...place, ...answer });
  return `${t("cell", { ...place, percent: percent(pad.pixels[n]) })}. ${t("spoken", answer)}`;
}

// Where it looked

$("look").onclick = () => {
  if (state.looked) {
    forget();
    return;
  }
  useTool(pad.tool === "cover" ? "draw" : pad.tool);
  $("look").ariaPressed = true;
  state.result = state.whole = run(model, pad.pixels);
  const label = indexOfLargest(probabilitiesOf(state.whole));
  const looked = { label, drops: new Float32Array(SIDE * SIDE), isWhole: false };
  const steps = occlusion(model, state.whole, label);
  state.looked = looked;
  $("looked").hidden = $("look-note").hidden = false;
  $("verdict").hidden = true;
  const visit = () => {
    if (state.looked !== looked) return;
    const until = performance.now() + FRAME_MS;
    let step;
    do step = steps.next(); while (!step.done && performance.now() < until);
    looked.drops = step.value;
    looked.isWhole = step.done;
    showLooked();
    if (!step.done) requestAnimationFrame(visit);
    else announce($("look-note").textContent);
  };
  visit();
};

function showLooked() {
  if (!state.looked) return;
  const { drops, label, isWhole } = state.looked, largest = Math.max(largestOf(drops), 1e-9);
  const picture = new ImageData(SIDE, SIDE);
  drops.forEach((drop, n) => {
    const strength = 235 * Math.abs(drop) / largest;
    picture.data.set([...(drop > 0 ? VIOLET : ORANGE), strength], 4 * n);
  });
  $("looked").getContext("2d").putImageData(picture, 0, 0);
  const values = { name: nameOf(label), drop: number(100 * Math.max(...drops), 0) };
  $("look-note").textContent = isWhole ? t("looked", values) : t("looking");
}

/** Remove the map of where it looked, because the picture changed. */
function forget() {
  state.whole = state.looked = null;
  $("looked").hidden = $("look-note").hidden = true;
  $("verdict").hidden = false;
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
$("brush").oninput = () => { pad.radius = Number($("brush").value); };
$("clear").onclick = () => {
  forgetExample();
  pad.set(new Float32Array(SIDE * SIDE));
  announce(t("cleared"));
};
for (const drawing of ["pointerdown", "keydown"]) {
  $("pad").addEventListener(drawing, ({ key }) => {
    if (pad.tool !== "cover" && key !== "Tab") $("invitation").hidden = true;
  });
}

const thumbnails = examples.map(({ label, pixels }) => {
  const canvas = element("canvas"), node = button({}, canvas);
  paint(canvas, pixels, SIDE, "grey");
  node.onclick = () => {
    forgetExample();
    state.truth = label;
    pad.set(pixels);
    node.ariaCurrent = true;
    announceAnswer();
  };
  $("examples").append(node);
  return node;
});

function forgetExample() {
  state.truth = undefined;
  for (const node of $("examples").children) node.ariaCurrent = null;
}

$("hold").onclick = () => hold(!state.isHeld);
$("close").onclick = () => {
  $("detail").classList.remove("open");
  hold(false);
};
addEventListener("keydown", ({ key }) => {
  if (key === "Escape") $("close").click();
});

addEventListener("pagehide", () => withStorage(() => {
  if (state.truth === undefined) sessionStorage.setItem(DRAWING, pad.pixels.join());
  else sessionStorage.removeItem(DRAWING);
}));

// Words that are not in the HTML

const weights = model.layers.flatMap((layer) => [layer.weights, layer.biases]);
const weightCount = weights.reduce((sum, part) => sum + (part?.length ?? 0), 0);

function label() {
  flow.label();
  const { name, stand_in: isStandIn } = model, n = grouped(weightCount);
  const who = name ? t("model named", { name, n }) : t("model pretrained", { n });
  $("model").textContent = isStandIn ? `${who} ${t("stand-in")}` : who;
  $("model").classList.toggle("wrong", isStandIn);
  thumbnails.forEach((node, index) => {
    const shown = examples[index].label;
    const what = shown === null ? t("something else") : nameOf(shown);
    node.ariaLabel = node.title = t("example label", { n: index + 1, name: what });
  });
  photo.write();
}

onChange(() => {
  label();
  redraw();
  showLooked();
});
flow.narrow.addEventListener("change", () => {
  flow.redraw();
  redraw();
});

label();
const own = ownPicture();
if (own) pad.set(own);
else thumbnails[0].click();
redraw();
document.documentElement.dataset.ready = "";

/** Return the picture that was drawn or taken in this tab before, in any page of the site. */
function ownPicture() {
  const pixels = withStorage(() => sessionStorage.getItem(DRAWING))?.split(",").map(Number);
  return pixels?.some((value) => value > 0) ? pixels : null;
}

/** Return the cell of the first layer with the largest value, but for the edge. */
function strongest(values, [height, width, count]) {
  const cellAt = (n) => ({ layer: 0, channel: n % count, ...cellOf(Math.floor(n / count), width) });
  const inner = values.map((value, n) => {
    const { row, column } = cellAt(n);
    return Math.min(row, column, height - 1 - row, width - 1 - column) < 2 ? 0 : value;
  });
  return cellAt(indexOfLargest(inner));
}
