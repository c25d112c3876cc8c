/* The view `learning`: one recorded run, moment by moment. */

import {
  $, SIDE, button, element, grouped, imageOf, indexOfLargest, largestOf,
  makeOneStop, number, percent, pointIn, read, svg,
} from "./kit.js";
import { colours, paint, scaleOf } from "./paint.js";
import { createPlayer } from "./playing.js";
import { announce, lang, onChange, start, t } from "./shell.js";
import words from "./words/learning.js";

const STRONGEST = 0.6; // weights from here on have the strongest colour; most never get there
const PLAY_TIME = 900; // ms for a moment
const PARTS = ["training", "validation"];
const lossOf = (value) => number(value, 3);
const share = (fraction) => `${number(100 * fraction, 1)}%`;
const CHARTS = {
  accuracy: { ticks: [0.2, 0.4, 0.6, 0.8, 1], low: 0.15, high: 1, scale: (v) => v, write: share },
  loss: { ticks: [0.1, 0.2, 0.5, 1, 2], low: 0.09, high: 2.5, scale: Math.log, write: lossOf },
};
// Of a chart, which is drawn in its own units and scaled to the room there is.
const WIDTH = 380, HEIGHT = 220, MARGIN = { left: 34, right: 78, top: 8, bottom: 24 };
const APART = 18; // the names of two curves, one below the other

let record, classNames, last, at, chosen, best, hasMoved = false;

// What the record says.

/** The filter that is farthest from where it began. */
const mostChanged = ({ kernels }) => indexOfLargest(kernels.map((kernel, filter) => (
  Math.hypot(...kernel.map((weight, k) => weight - record.points[0].kernels[filter][k])))));
const largestWeight = (point) => number(largestOf(point.kernels.flat()));

function moment({ epoch, step }) {
  if (step) return t("moment step", { step });
  return epoch ? t("moment epoch", { epoch }) : t("moment start");
}

/** What can be read off the curves at a moment. */
function reading() {
  const point = record.points[at], then = record.points[best];
  const { epoch, step, training, validation } = point;
  const values = {
    epoch, step, steps: grouped(record.steps_per_epoch), best: then.epoch,
    training: share(training.accuracy), validation: share(validation.accuracy),
    trainingThen: lossOf(then.training.loss), trainingNow: lossOf(training.loss),
    validationThen: lossOf(then.validation.loss), validationNow: lossOf(validation.loss),
  };
  if (!epoch) return t(step ? "reading step" : "reading start", values);
  const read = t("reading epoch", values);
  if (point === then) return `${read} ${t("reading best", values)}`;
  if (epoch < then.epoch) return read;
  const isOverfit = training.loss < then.training.loss;
  return `${read} ${t(isOverfit ? "reading overfit" : "reading beyond", values)}`;
}

// Moving through the run.

const player = createPlayer(PLAY_TIME, { back: "back", play: null, forward: "on" }, {
  where: () => ({ at, last, text: moment(record.points[at]), isNew: !hasMoved }),
  goTo: (index) => {
    hasMoved = true;
    at = index;
  },
  render,
  reading,
});

// Building what stays.

/** Fill a group with small pictures to choose from; `write` says what is below one. */
function tiles(id, count, choose, write) {
  $(id).replaceChildren(...Array.from({ length: count }, (_, index) =>
    button({ className: "tile", onclick: () => choose(index) },
      element("canvas"), element("span", { textContent: write(index) }))));
}

function build() {
  tiles("filters", record.points[0].kernels.length, choose, (filter) => filter + 1);
  tiles("path", record.points.length, player.goTo, (index) => {
    const { epoch, step } = record.points[index];
    return step || epoch;
  });
  for (const id of ["filters", "path"]) makeOneStop($(id));
  $("drawings").replaceChildren(...record.examples.map(({ pixels }) => element("li", {},
    paint(element("canvas", { role: "img" }), imageOf(pixels), SIDE), element("strong"),
    element("span", { className: "track", ariaHidden: "true" },
      element("span", { className: "bar" })),
    element("span", { className: "probability" }), element("span", { className: "verdict" }))));
  for (const name of Object.keys(CHARTS)) {
    $(name).onclick = (event) => {
      const across = pointIn($(name), event, WIDTH).x - MARGIN.left;
      player.goTo(Math.round(across / (WIDTH - MARGIN.left - MARGIN.right) * last));
    };
  }
}

function choose(filter) {
  chosen = filter;
  render();
  const weights = record.points[at].kernels[filter].map((weight) => number(weight)).join(", ");
  announce(t("filter weights", { number: filter + 1, weights }));
}

$("filters").addEventListener("focusin", ({ target }) =>
  choose([...$("filters").children].indexOf(target)));

// Drawing.

function render() {
  const point = record.points[at];
  const { seed, made_with: { keras }, command, images } = record;
  const values = { images: grouped(images.trained_on), epochs: record.points[last].epoch };
  $("lead").textContent = t("learning lead", values);
  player.show();
  $("back").disabled = at === 0;
  $("forward").disabled = at === last;
  renderFilters(point);
  renderDrawings(point);
  for (const name of Object.keys(CHARTS)) renderChart(name);
  renderTable();
  const count = grouped(images.validation);
  $("origin").textContent = t("origin", { seed, keras, command, count });
}

function renderFilters(point) {
  const colour = colours("signed", STRONGEST);
  const show = (tile, kernel, name, isChosen) => {
    paint(tile.firstElementChild, kernel, 3, colour);
    Object.assign(tile, { ariaLabel: name, ariaPressed: isChosen });
  };
  [...$("filters").children].forEach((tile, filter) => {
    show(tile, point.kernels[filter], t("filter", { number: filter + 1 }), filter === chosen);
    tile.tabIndex = filter === chosen ? 0 : -1;
  });
  [...$("path").children].forEach((tile, index) => {
    const then = record.points[index];
    show(tile, then.kernels[chosen], moment(then), index === at);
  });
  $("path-title").textContent = t("path of", { number: chosen + 1 });
  $("filters-reading").textContent = t(at === 0 ? "filters at first" : "filters now", {
    first: largestWeight(record.points[0]), largest: largestWeight(point),
    most: mostChanged(point) + 1,
  });
  const write = (value) => `${value < 0 ? "≤" : "≥"} ${number(value, 1)}`;
  $("legend").replaceChildren(...scaleOf(-STRONGEST, STRONGEST, colour, write));
}

function renderDrawings(point) {
  const names = classNames[lang];
  let right = 0;
  [...$("drawings").children].forEach((item, n) => {
    const [canvas, name, track, probability, verdict] = item.children;
    const { label } = record.examples[n], probabilities = point.probabilities[n];
    const predicted = indexOfLargest(probabilities), isRight = predicted === label;
    right += isRight;
    canvas.ariaLabel = t("drawing of", { name: names[label] });
    name.textContent = names[predicted];
    track.firstChild.style.width = `${100 * probabilities[predicted]}%`;
    probability.textContent = percent(Math.min(probabilities[predicted], 0.9996));
    verdict.textContent = isRight ? `✓ ${t("is right")}` : t("is wrong", { name: names[label] });
    item.classList.toggle("wrong", !isRight);
  });
  $("drawings-count").textContent = t("drawings right", { right, count: record.examples.length });
}

function renderChart(name) {
  const { ticks, low, high, scale, write } = CHARTS[name];
  // Moments are equally far apart, as the first epoch is looked at closely.
  const x = (index) => MARGIN.left + index / last * (WIDTH - MARGIN.left - MARGIN.right);
  const bottom = HEIGHT - MARGIN.bottom;
  const y = (value) => bottom
    - (scale(value) - scale(low)) / (scale(high) - scale(low)) * (bottom - MARGIN.top);
  const below = (place, content) =>
    svg("text", { x: place, y: HEIGHT - 6, "text-anchor": "middle" }, content);
  const firstEpoch = record.points.findIndex(({ epoch }) => epoch === 1);
  const picture = svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}` });
  const area = { x: x(0), y: MARGIN.top, width: x(firstEpoch) - x(0), height: bottom - MARGIN.top };
  picture.append(svg("rect", { class: "first", ...area }));
  for (const tick of ticks) {
    picture.append(
      svg("line", { class: "rule", x1: x(0), x2: x(last), y1: y(tick), y2: y(tick) }),
      svg("text", { x: MARGIN.left - 8, y: y(tick) + 4, "text-anchor": "end" }, tick),
    );
  }
  record.points.forEach(({ epoch, step }, index) => {
    if (!step) picture.append(below(x(index), epoch));
  });
  picture.append(
    below((x(0) + x(firstEpoch)) / 2, t("epoch 1")),
    svg("text", { x: x(last) + 16, y: HEIGHT - 6 }, t("epochs")),
    svg("line", { class: "now", x1: x(at), x2: x(at), y1: MARGIN.top, y2: bottom }),
  );
  // Both names are legible, where the curves end close to each other.
  const ends = PARTS.map((part) => y(record.points[last][part][name]));
  const apart = Math.max(0, APART - Math.abs(ends[0] - ends[1])) / 2 * Math.sign(ends[0] - ends[1]);
  for (const [n, part] of PARTS.entries()) {
    const values = record.points.map((one) => one[part][name]);
    const points = values.map((value, index) => `${x(index)},${y(value)}`).join(" ");
    const end = { x: x(last) + 8, y: ends[n] + 4 + (n ? -apart : apart) };
    picture.append(
      svg("polyline", { class: part, points }),
      svg("circle", { cx: x(at), cy: y(values[at]), r: 5 }),
      svg("text", { class: part, ...end }, t(part)),
    );
  }
  $(name).replaceChildren(picture);
  const point = record.points[at];
  const [training, validation] = PARTS.map((part) => write(point[part][name]));
  $(name).ariaLabel = t(`${name} chart`, { moment: moment(point), training, validation });
}

function renderTable() {
  const columns = ["accuracy", "loss"].flatMap((name) => PARTS.map((part) => [part, name]));
  const heading = (scope, textContent) => element("th", { scope, textContent });
  const head = ["moment", ...columns.map((column) => column.join(" "))].map((column) =>
    heading("col", t(`column ${column}`)));
  const rows = record.points.map((point, index) => element("tr",
    { ariaCurrent: index === at ? "true" : null }, heading("row", moment(point)),
    ...columns.map(([part, name]) =>
      element("td", { textContent: CHARTS[name].write(point[part][name]) }))));
  $("table").replaceChildren(
    element("thead", {}, element("tr", {}, ...head)), element("tbody", {}, ...rows));
}

start("learning", words);
try {
  record = await read("learning.json");
  classNames = (await read("model/model.json")).class_names;
  last = record.points.length - 1;
  const losses = record.points.map(({ validation }) => validation.loss);
  at = best = losses.indexOf(Math.min(...losses));
  chosen = mostChanged(record.points[last]);
  build();
  render();
  onChange(render);
} catch (error) {
  $("lead").textContent = t("no record");
  throw error;
}
