/* The view `learning`: one recorded run, moment by moment. */

import { paint } from "./paint.js";
import { announce, element, number, onChange, percent, start, t } from "./shell.js";
import words from "./words/learning.js";

const STRONGEST = 0.6; // weights from here on have the strongest colour; most never get there
const PLAY_TIME = 900; // ms for a moment
const CHARTS = {
  accuracy: { ticks: [0.2, 0.4, 0.6, 0.8, 1], low: 0.15, high: 1, scale: (value) => value },
  loss: { ticks: [0.1, 0.2, 0.5, 1, 2], low: 0.09, high: 2.5, scale: Math.log },
};
const MARGIN = { left: 34, right: 84, top: 8, bottom: 24 };
const HEIGHT = 194;

const $ = (id) => document.getElementById(id);
let record, at, chosen, best, timer = null, hasMoved = false;

const grouped = (count) => count.toLocaleString("en"); // commas, in Korean too
const share = (fraction) => `${number(100 * fraction, 1)}%`;

// What the record says.

/** How far a filter is from where it began. */
function change(point, filter) {
  const first = record.points[0].kernels[filter];
  return Math.hypot(...point.kernels[filter].map((weight, k) => weight - first[k]));
}

function mostChanged(point) {
  const changes = point.kernels.map((_, filter) => change(point, filter));
  return changes.indexOf(Math.max(...changes));
}

const largestWeight = (point) => Math.max(...point.kernels.flat().map(Math.abs));

function moment({ epoch, step }) {
  if (step) return t("moment step", { step });
  return epoch ? t("moment epoch", { epoch }) : t("moment start");
}

/** What can be read off the curves at a moment. */
function reading(point) {
  const { epoch, step, training, validation } = point;
  if (!epoch) {
    return t(step ? "reading step" : "reading start", {
      step, steps: grouped(record.steps_per_epoch), validation: share(validation.accuracy),
    });
  }
  const then = record.points[best];
  const values = {
    epoch,
    best: then.epoch,
    training: share(training.accuracy),
    validation: share(validation.accuracy),
    loss: number(validation.loss, 3),
    trainingThen: number(then.training.loss, 3),
    trainingNow: number(training.loss, 3),
    validationThen: number(then.validation.loss, 3),
    validationNow: number(validation.loss, 3),
  };
  const sentences = [t("reading epoch", values)];
  if (point === then) sentences.push(t("reading best", values));
  else if (epoch > then.epoch) {
    const isOverfit = training.loss < then.training.loss;
    sentences.push(t(isOverfit ? "reading overfit" : "reading beyond", values));
  }
  return sentences.join(" ");
}

// Moving through the run.

function show(index, isSaid = true) {
  at = Math.max(0, Math.min(record.points.length - 1, index));
  render();
  if (isSaid) announce(reading(record.points[at]));
}

function stop() {
  clearInterval(timer);
  timer = null;
}

function play() {
  if (timer) {
    stop();
    return show(at);
  }
  if (!hasMoved || at === record.points.length - 1) at = 0;
  hasMoved = true;
  timer = setInterval(() => {
    if (at === record.points.length - 1) {
      stop();
      show(at);
    } else show(at + 1, false);
  }, PLAY_TIME);
  render();
}

function go(index) {
  hasMoved = true;
  stop();
  show(index);
}

// Building what stays.

function build() {
  $("position").max = record.points.length - 1;
  $("filters").replaceChildren(...record.points[0].kernels.map((_, filter) => {
    const tile = element("button", { type: "button", className: "tile" }, element("canvas"),
      element("span", { textContent: filter }));
    tile.onclick = () => choose(filter);
    return tile;
  }));
  $("path").replaceChildren(...record.points.map((_, index) => {
    const tile = element("button", { type: "button", className: "tile" },
      element("canvas"), element("span"));
    tile.onclick = () => go(index);
    return tile;
  }));
  $("drawings").replaceChildren(...record.examples.map((example) => {
    const canvas = element("canvas");
    canvas.role = "img";
    const pixels = Uint8Array.from(atob(example.pixels), (c) => c.charCodeAt(0));
    paint(canvas, Array.from(pixels, (pixel) => pixel / 255), 28, "grey");
    const bar = element("span", { className: "bar" });
    bar.setAttribute("aria-hidden", "true");
    return element("li", {}, canvas, element("strong"), bar,
      element("span", { className: "probability" }), element("span", { className: "verdict" }));
  }));
  for (const name of Object.keys(CHARTS)) {
    new ResizeObserver(() => renderChart(name)).observe($(name));
    $(name).addEventListener("click", (event) => go(nearest($(name), event.clientX)));
  }
}

function choose(filter) {
  chosen = filter;
  render();
  announce(t("filter weights", { number: filter, weights: weightsOf(record.points[at], filter) }));
}

const weightsOf = (point, filter) =>
  point.kernels[filter].map((weight) => number(weight)).join(", ");

$("filters").addEventListener("keydown", (event) => {
  const tiles = [...$("filters").children];
  const columns = getComputedStyle($("filters")).gridTemplateColumns.split(" ").length;
  const step = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns }[event.key];
  const next = tiles[tiles.indexOf(document.activeElement) + step];
  if (!next) return;
  event.preventDefault();
  next.focus();
  choose(tiles.indexOf(next));
});

// Drawing.

function render() {
  const point = record.points[at];
  const values = { images: grouped(record.images.trained_on), epochs: record.points.at(-1).epoch };
  $("lead").textContent = t("learning lead", values);
  $("position").value = at;
  $("position").setAttribute("aria-valuetext", moment(point));
  $("play").classList.toggle("playing", timer !== null);
  $("play-word").textContent = t(timer ? "pause" : "play");
  $("back").disabled = at === 0;
  $("forward").disabled = at === record.points.length - 1;
  $("reading").textContent = reading(point);
  renderFilters(point);
  renderDrawings(point);
  for (const name of Object.keys(CHARTS)) renderChart(name);
  renderTable();
  const { seed, made_with: versions, command, images } = record;
  $("origin").textContent = t("origin", {
    seed, keras: versions.keras, command, count: grouped(images.validation),
  });
}

function renderFilters(point) {
  [...$("filters").children].forEach((tile, filter) => {
    paint(tile.firstElementChild, point.kernels[filter], 3, "signed", STRONGEST);
    tile.ariaLabel = t("filter", { number: filter });
    tile.setAttribute("aria-pressed", filter === chosen);
    tile.tabIndex = filter === chosen ? 0 : -1;
  });
  [...$("path").children].forEach((tile, index) => {
    const then = record.points[index];
    paint(tile.firstElementChild, then.kernels[chosen], 3, "signed", STRONGEST);
    tile.ariaLabel = moment(then);
    tile.setAttribute("aria-pressed", index === at);
    tile.lastElementChild.textContent = shortMoment(then);
  });
  $("path-title").textContent = t("path of", { number: chosen });
  const largest = number(largestWeight(point));
  $("filters-reading").textContent = at === 0
    ? t("filters at first", { largest })
    : t("filters now", {
      first: number(largestWeight(record.points[0])), largest, most: mostChanged(point),
    });
  const scale = Array.from({ length: 101 }, (_, n) => STRONGEST * (n / 50 - 1));
  paint($("scale"), scale, scale.length, "signed", STRONGEST);
  $("least").textContent = `≤ ${number(-STRONGEST, 1)}`;
  $("most").textContent = `≥ ${number(STRONGEST, 1)}`;
}

const shortMoment = ({ epoch, step }) => (step ? `${step}` : epoch ? `${epoch}` : "0");

function renderDrawings(point) {
  let right = 0;
  [...$("drawings").children].forEach((item, n) => {
    const [canvas, name, bar, probability, verdict] = item.children;
    const { label } = record.examples[n], probabilities = point.probabilities[n];
    const said = probabilities.indexOf(Math.max(...probabilities));
    const isRight = said === label;
    right += isRight;
    canvas.ariaLabel = t("drawing of", { name: t(`class ${label}`) });
    name.textContent = t(`class ${said}`);
    bar.style.setProperty("--probability", probabilities[said]);
    probability.textContent = percent(Math.min(probabilities[said], 0.9996));
    verdict.textContent = isRight
      ? `✓ ${t("is right")}` : t("is wrong", { name: t(`class ${label}`) });
    item.classList.toggle("wrong", !isRight);
  });
  $("drawings-count").textContent = t("drawings right", { right, count: record.examples.length });
}

function svg(tag, attributes, text) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  if (text !== undefined) node.textContent = text;
  return node;
}

/** Where a moment stands: they are equally far apart, as the first epoch is looked at closely. */
const acrossOf = (width) => (index) =>
  MARGIN.left + (index / (record.points.length - 1)) * (width - MARGIN.left - MARGIN.right);

function nearest(chart, clientX) {
  const box = chart.getBoundingClientRect();
  const span = box.width - MARGIN.left - MARGIN.right;
  return Math.round(((clientX - box.left - MARGIN.left) / span) * (record.points.length - 1));
}

function renderChart(name) {
  const { ticks, low, high, scale } = CHARTS[name], width = $(name).clientWidth;
  const x = acrossOf(width), bottom = HEIGHT - MARGIN.bottom;
  const y = (value) => bottom
    - (scale(value) - scale(low)) / (scale(high) - scale(low)) * (bottom - MARGIN.top);
  const firstEpoch = record.points.findIndex(({ epoch }) => epoch === 1);
  const last = record.points.length - 1;
  const picture = svg("svg", { width, height: HEIGHT, viewBox: `0 0 ${width} ${HEIGHT}` });
  picture.append(svg("rect", {
    class: "first",
    x: x(0),
    y: MARGIN.top,
    width: x(firstEpoch) - x(0),
    height: bottom - MARGIN.top,
  }));
  for (const tick of ticks) {
    picture.append(
      svg("line", { class: "rule", x1: x(0), x2: x(last), y1: y(tick), y2: y(tick) }),
      svg("text", { x: MARGIN.left - 8, y: y(tick) + 4, "text-anchor": "end" }, tick),
    );
  }
  record.points.forEach((point, index) => {
    if (index && index < firstEpoch) return;
    const place = { x: x(index), y: HEIGHT - 6, "text-anchor": "middle" };
    picture.append(svg("text", place, point.epoch));
  });
  picture.append(svg("text", {
    x: (x(0) + x(firstEpoch)) / 2, y: HEIGHT - 6, "text-anchor": "middle",
  }, t(width < 460 ? "steps" : "first epoch")));
  picture.append(svg("text", { x: x(last) + 16, y: HEIGHT - 6 }, t("epochs")));
  picture.append(svg("line", { class: "now", x1: x(at), x2: x(at), y1: MARGIN.top, y2: bottom }));
  // Both names are legible, where the curves end close to each other.
  const ends = ["training", "validation"].map((part) => y(record.points.at(-1)[part][name]));
  const apart = Math.max(0, 15 - Math.abs(ends[0] - ends[1])) / 2 * Math.sign(ends[0] - ends[1]);
  for (const [n, part] of ["training", "validation"].entries()) {
    const places = record.points.map((point, index) => `${x(index)},${y(point[part][name])}`);
    picture.append(svg("polyline", { class: part, points: places.join(" ") }));
    picture.append(svg("circle", { cx: x(at), cy: y(record.points[at][part][name]), r: 5 }));
    picture.append(svg("text", {
      class: `name ${part}`, x: x(last) + 8, y: ends[n] + 4 + (n ? -apart : apart),
    }, t(part)));
  }
  $(name).replaceChildren(picture);
  const write = name === "accuracy" ? share : (value) => number(value, 3);
  const { training, validation } = record.points[at];
  $(name).ariaLabel = t(`${name} chart`, {
    moment: moment(record.points[at]),
    training: write(training[name]),
    validation: write(validation[name]),
  });
}

function renderTable() {
  const columns = ["training accuracy", "validation accuracy", "training loss", "validation loss"];
  const head = element("tr", {}, ...["moment", ...columns].map((column) =>
    element("th", { scope: "col", textContent: t(`column ${column}`) })));
  const rows = record.points.map((point, index) => {
    const row = element("tr", {}, element("th", { scope: "row", textContent: moment(point) }),
      ...columns.map((column) => {
        const [part, name] = column.split(" "), value = point[part][name];
        const textContent = name === "accuracy" ? share(value) : number(value, 3);
        return element("td", { textContent });
      }));
    if (index === at) row.setAttribute("aria-current", "true");
    return row;
  });
  $("table").replaceChildren(element("thead", {}, head), element("tbody", {}, ...rows));
}

start("learning", words);
try {
  record = await (await fetch("learning.json")).json();
  const losses = record.points.map(({ validation }) => validation.loss);
  best = losses.indexOf(Math.min(...losses));
  at = best;
  chosen = mostChanged(record.points.at(-1));
  build();
  render();
  onChange(render);
  $("play").onclick = play;
  $("back").onclick = () => go(at - 1);
  $("forward").onclick = () => go(at + 1);
  $("position").oninput = () => go(Number($("position").value));
} catch (error) {
  $("lead").textContent = t("no record");
  throw error;
}
