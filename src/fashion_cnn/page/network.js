/* The view of the whole network: it ties the drawing area, the answer, the layers and the panel together. */

import { createDetail } from "./detail.js";
import { covered, likeliest, occlusion, readModel, run } from "./engine.js";
import { createFlow } from "./flow.js";
import { createPad } from "./pad.js";
import { paint } from "./paint.js";
import { createPhoto } from "./photo.js";
import { announce, element, lang, number, onChange, percent, start, t } from "./shell.js";
import words from "./words/network.js";

const SURE = 0.6; // as fashion_cnn.prediction: below, a photo's class is as often wrong as right
const DRAWING = "fashion-cnn drawing"; // where the browser keeps it until the tab is closed
const FRAME_MS = 12; // of computing at once, so that the page stays quick
const $ = (id) => document.getElementById(id);

start("network", words);
const [model, examples] = await load().catch((error) => {
  $("trouble").textContent = t("no model");
  $("trouble").hidden = false;
  throw error;
});
const output = model.layers.length - 1;
const weights = model.layers.reduce((n, layer) => n + (layer.weights?.length ?? 0) + (layer.biases?.length ?? 0), 0);
let truth; // the label of an example; null for what is none of the ten; undefined for a drawing
let result, whole; // of what is seen, and of the picture without the patch
let cell = null, source = null, isHeld = false, isDue = false; // without a cell, the strongest is shown
let isOwnCell = false; // whether the reader chose it
let looked = null; // the occlusion map of a class: {label, drops, isWhole}

const pad = createPad({
  onChange: (isDrawn) => {
    if (isDrawn) forgetExample();
    else if (!isOwnCell && pad.patch === null) cell = null;
    if (pad.patch === null) forget();
    redrawSoon();
  },
  onPoint: (row, column) => requestAnimationFrame(() => announce(pointed(row, column))),
});
const flow = createFlow(model, {
  onPoint: (next) => {
    if (!isHeld) choose(next);
  },
  onChoose: (next) => {
    const isSame = JSON.stringify(next) === JSON.stringify(cell);
    hold(!(isHeld && isSame));
    choose(next);
    openDetail();
    announce(explained.value);
  },
});
const detail = createDetail(model, {
  onRefine: ({ source: next, ...place }) => {
    if (next === undefined) choose({ ...cell, ...place });
    else choose(cell, next);
    announce(explained.value);
  },
});
const photo = createPhoto(Boolean(model.server), {
  onPrepared: (pixels) => {
    forgetExample();
    pad.set(pixels);
    announceAnswer();
  },
});
let explained = null;

async function load() {
  const [manifest, buffer, drawings] = await Promise.all([
    fetch("model/model.json").then(checked).then((response) => response.json()),
    fetch("model/weights.bin").then(checked).then((response) => response.arrayBuffer()),
    fetch("examples.json").then(checked).then((response) => response.json()),
  ]);
  const decode = (text) => Float32Array.from(atob(text), (letter) => letter.charCodeAt(0) / 255);
  return [readModel(manifest, buffer), drawings.map(({ label, pixels }) => ({ label, pixels: decode(pixels) }))];
}

function checked(response) {
  if (!response.ok) throw new Error(`${response.url}: ${response.status}`);
  return response;
}

function redrawSoon() {
  if (isDue) return;
  isDue = true;
  requestAnimationFrame(redraw);
}

/** Compute and show everything anew. */
function redraw() {
  isDue = false;
  performance.mark("redraw");
  const { row, column } = pad.patch ?? {};
  whole = pad.patch && whole ? whole : run(model, pad.pixels);
  result = pad.patch ? run(model, covered(pad.pixels, row, column).image) : whole;
  flow.show(result);
  showAnswer();
  explain();
  performance.measure("redraw", "redraw");
}

function choose(next, nextSource = null) {
  [cell, source, isOwnCell] = [next, nextSource, true];
  explain();
}

function explain() {
  cell ??= strongest(result.layers[0].output, model.layers[0].shape);
  explained = detail.show(result, cell, source);
  flow.mark(cell, explained.sources, explained.field);
  pad.show(explained.field);
  for (const [n, bar] of bars.entries()) bar.button.setAttribute("aria-current", cell.layer === output && cell.channel === n);
}

function hold(isOn) {
  isHeld = isOn;
  $("hold").setAttribute("aria-pressed", isOn);
}

/** Open the panel where it is a sheet at the bottom. */
function openDetail() {
  $("detail").classList.add("open");
}

// The answer

const bars = model.class_names.en.map((_, n) => {
  const bar = {
    button: element("button", { type: "button" }), name: element("span", { className: "words" }),
    value: element("span", { className: "value" }), fill: element("span", { className: "fill" }),
    before: element("span", { className: "before" }),
  };
  bar.button.append(bar.name, element("span", { className: "track" }, bar.fill, bar.before), bar.value);
  bar.button.onclick = () => {
    hold(true);
    choose({ layer: output, channel: n, row: 0, column: 0 });
    openDetail();
    announce(explained.value);
  };
  $("bars").append(element("li", {}, bar.button));
  return bar;
});

function showAnswer() {
  const probabilities = result.layers[output].output, before = whole.layers[output].output;
  const names = model.class_names[lang];
  const first = likeliest(probabilities);
  bars.forEach(({ button, name, value, fill, before: mark }, n) => {
    name.textContent = names[n];
    value.textContent = percent(probabilities[n]);
    fill.style.width = `${(100 * probabilities[n]).toFixed(1)}%`;
    mark.hidden = !pad.patch;
    mark.style.left = `${(100 * before[n]).toFixed(1)}%`;
    button.classList.toggle("first", n === first);
    button.setAttribute("aria-label", t("bar label", { name: names[n], percent: percent(probabilities[n]) }));
  });
  const isEmpty = pad.pixels.every((value) => value === 0);
  $("invitation").hidden = !isEmpty;
  const values = { percent: percent(probabilities[first]), first: names[first] };
  const isSure = probabilities[first] >= SURE;
  $("answer-heading").textContent = isEmpty ? t("nothing drawn") : isSure ? names[first] : t("perhaps", values);
  const second = likeliest(probabilities.map((p, n) => (n === first ? -1 : p)));
  const most = likeliest(before);
  let verdict = isSure ? t("sure", values) : t("unsure", { ...values, second: names[second] });
  if (pad.patch) {
    verdict = t("covered", { name: names[most], before: percent(before[most]), after: percent(probabilities[most]) });
  } else if (truth === null) verdict = t("no name", values);
  else if (truth === first) verdict = t("right", values);
  else if (truth !== undefined) verdict = t("wrong", { ...values, truth: names[truth] });
  $("verdict").textContent = isEmpty ? t("nothing drawn note") : verdict;
  $("verdict").className = truth === undefined || pad.patch ? "" : truth === first ? "right" : "wrong";
}

function announceAnswer() {
  requestAnimationFrame(() => announce(`${$("answer-heading").textContent}. ${$("verdict").textContent}`));
}

/** Say what is at a cell of the picture. */
function pointed(row, column) {
  const place = { row: row + 1, column: column + 1 };
  const probabilities = (result ?? whole).layers[output].output, first = likeliest(probabilities);
  const answer = { name: model.class_names[lang][first], percent: percent(probabilities[first]) };
  if (looked?.isWhole) {
    const change = number(-100 * looked.drops[row * 28 + column], 0);
    return t("looked at", { ...place, change, name: model.class_names[lang][looked.label] });
  }
  if (pad.tool === "cover") return t("cover at", { ...place, ...answer });
  return `${t("cell", { ...place, percent: percent(pad.pixels[row * 28 + column]) })}. ${t("spoken", answer)}`;
}

// Where it looked

$("look").onclick = () => {
  if (looked) {
    forget();
    return;
  }
  pad.use(pad.tool === "cover" ? "draw" : pad.tool);
  chooseTool(pad.tool);
  $("look").setAttribute("aria-pressed", "true");
  result = whole = run(model, pad.pixels);
  const label = likeliest(whole.layers[output].output);
  const steps = occlusion(model, whole, label), mine = { label, drops: new Float32Array(784), isWhole: false };
  looked = mine;
  $("looked").hidden = $("look-note").hidden = false;
  $("verdict").hidden = true;
  const visit = () => {
    if (looked !== mine) return;
    const until = performance.now() + FRAME_MS;
    let step;
    do step = steps.next(); while (!step.done && performance.now() < until);
    mine.drops = step.done ? step.value : step.value.drops;
    mine.isWhole = step.done;
    showLooked();
    if (!step.done) requestAnimationFrame(visit);
    else announce($("look-note").textContent);
  };
  visit();
};

function showLooked() {
  if (!looked) return;
  const { drops, label, isWhole } = looked;
  const largest = drops.reduce((a, b) => Math.max(a, Math.abs(b)), 1e-9);
  const canvas = $("looked"), picture = new ImageData(28, 28);
  drops.forEach((drop, n) => {
    const strength = Math.abs(drop) / largest;
    picture.data.set([...(drop > 0 ? [150, 110, 255] : [255, 140, 30]), 235 * strength], 4 * n);
  });
  canvas.getContext("2d").putImageData(picture, 0, 0);
  const most = Math.max(...drops);
  $("look-note").textContent = isWhole
    ? t("looked", { name: model.class_names[lang][label], drop: number(100 * most, 0) }) : t("looking");
}

/** Remove the map of where it looked, because the picture changed. */
function forget() {
  whole = null;
  looked = null;
  $("looked").hidden = $("look-note").hidden = true;
  $("verdict").hidden = false;
  $("look").setAttribute("aria-pressed", "false");
}

// Tools and examples

function chooseTool(tool) {
  for (const button of document.querySelectorAll("[data-tool]")) {
    button.setAttribute("aria-pressed", button.dataset.tool === tool);
  }
  $("pad").dataset.tool = tool;
}
for (const button of document.querySelectorAll("[data-tool]")) {
  button.onclick = () => {
    forget();
    pad.use(button.dataset.tool);
    chooseTool(button.dataset.tool);
    redrawSoon();
  };
}
$("brush").oninput = () => { pad.radius = Number($("brush").value); };
$("clear").onclick = () => {
  forgetExample();
  pad.set(new Float32Array(784));
  announce(t("cleared"));
};
for (const drawing of ["pointerdown", "keydown"]) {
  $("pad").addEventListener(drawing, ({ key }) => {
    if (pad.tool !== "cover" && key !== "Tab") $("invitation").hidden = true;
  });
}

const thumbnails = examples.map(({ label, pixels }, n) => {
  const canvas = element("canvas");
  paint(canvas, pixels, 28, "grey");
  const button = element("button", { type: "button" }, canvas);
  button.onclick = () => {
    forgetExample();
    truth = label;
    pad.set(pixels);
    button.setAttribute("aria-current", "true");
    announceAnswer();
  };
  $("examples").append(button);
  return button;
});

function forgetExample() {
  truth = undefined;
  for (const button of $("examples").children) button.removeAttribute("aria-current");
}

$("hold").onclick = () => hold(!isHeld);
$("close").onclick = () => {
  $("detail").classList.remove("open");
  hold(false);
};
addEventListener("keydown", ({ key }) => {
  if (key === "Escape") $("close").click();
});

addEventListener("pagehide", () => {
  try {
    if (truth === undefined) sessionStorage.setItem(DRAWING, pad.pixels.join());
    else sessionStorage.removeItem(DRAWING);
  } catch { /* then the picture is gone */ }
});

// Words that are not in the HTML

function label() {
  flow.label();
  const count = weights.toLocaleString("en");
  const sentences = [model.name ? t("model named", { name: model.name, n: count }) : t("model pretrained", { n: count })];
  if (model.stand_in) sentences.push(t("stand-in"));
  $("model").textContent = sentences.join(" ");
  $("model").classList.toggle("wrong", model.stand_in);
  thumbnails.forEach((button, n) => {
    const { label: number_ } = examples[n];
    const name = number_ === null ? t("something else") : model.class_names[lang][number_];
    button.ariaLabel = button.title = t("example label", { n: n + 1, name });
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

/** Return the picture that was drawn or taken in this tab before, here or in another page of the site. */
function ownPicture() {
  try {
    const pixels = sessionStorage.getItem(DRAWING)?.split(",").map(Number);
    return pixels?.some((value) => value > 0) ? pixels : null;
  } catch { // a page inside another may have no storage
    return null;
  }
}

/** Return the cell of the first layer with the largest value, but for the edge: where readers start. */
function strongest(values, [height, width, count]) {
  const place = (n) => ({
    layer: 0, channel: n % count, row: Math.floor(n / count / width), column: Math.floor(n / count) % width,
  });
  const inner = values.map((value, n) => {
    const { row, column } = place(n);
    return Math.min(row, column, height - 1 - row, width - 1 - column) < 2 ? 0 : value;
  });
  return place(likeliest(inner));
}
