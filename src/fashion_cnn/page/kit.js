/* What the views would each write again: elements, numbers, places, keys and pointers. */

export const SIDE = 28; // cells of an image

export const $ = (id) => document.getElementById(id);

/** Create an element with properties, among them `dataset` and `style` as objects, and children. */
export function element(tag, { dataset, style, ...properties } = {}, ...children) {
  const node = Object.assign(document.createElement(tag), properties);
  Object.assign(node.dataset, dataset);
  Object.assign(node.style, style);
  node.append(...children);
  return node;
}

/** Create a button, which is never of a form; `properties` as in element. */
export const button = (properties, ...children) =>
  element("button", { type: "button", ...properties }, ...children);

/** Create an element of a drawing, with attributes and children. */
export function svg(tag, attributes, ...children) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

// Numbers

export const clamp = (value, low, high) => Math.max(low, Math.min(high, value));
export const add = (a, b) => a + b;

/** Return the largest of some numbers, without their signs. */
export const largestOf = (numbers) => numbers.reduce((a, b) => Math.max(a, Math.abs(b)), 0);

export const indexOfLargest = (numbers) => numbers.indexOf(Math.max(...numbers));

/** Write a number with a true minus sign. */
export function number(value, digits = 2) {
  const text = value.toFixed(digits);
  return (Number(text) === 0 ? text.replace("-", "") : text).replace("-", "−");
}

/** Return so many decimals that the largest of some numbers has three digits or four. */
export const digitsFor = (largest) => (largest < 10 ? 3 : largest < 100 ? 2 : 1);

/** Round numbers so that they add up as shown: some to the other side, those that are nearest. */
export function addingUp(values, digits) {
  const unit = 10 ** digits, exact = values.map((value) => value * unit);
  const shown = exact.map(Math.floor), missing = Math.round(exact.reduce(add, 0));
  const byRest = [...exact.keys()].sort((a, b) => exact[b] - shown[b] - exact[a] + shown[a]);
  for (const n of byRest.slice(0, missing - shown.reduce(add, 0))) shown[n] += 1;
  return shown.map((value) => value / unit);
}

export function trimmed(value, digits = 2) {
  const text = number(value, digits);
  return text.includes(".") ? text.replace(/\.?0+$/, "") : text;
}

/** Write a count with commas, in Korean too. */
export const grouped = (count) => count.toLocaleString("en");

/** Write a probability in percent; only what is exactly 0 or 1 is called so. */
export function percent(probability) {
  const digits = probability > 0.0995 && probability < 0.9995 ? 0 : 1;
  const text = (100 * probability).toFixed(digits);
  if (Number(text) === 0 && probability > 0) return "<0.1%";
  return Number(text) === 100 && probability < 1 ? ">99.9%" : `${text}%`;
}

// Places

/** Return the cell of a number that stands in rows of so many. */
export const cellOf = (n, columns) => ({ row: Math.floor(n / columns), column: n % columns });

/** Return a cell as readers count: from 1. */
export const counted = ({ row, column }) => ({ row: row + 1, column: column + 1 });

/** How far the arrow keys lead: down, and to the right. */
export const ARROWS = {
  ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1],
};

/** Return where a key leads from a cell in a square of so many cells, and let it do nothing else;
 *  null if it leads nowhere. */
export function ledTo(event, { row, column }, side) {
  const far = { Home: -Infinity, End: Infinity }[event.key];
  const [down, right] = far ? [event.ctrlKey ? far : 0, far] : ARROWS[event.key] ?? [];
  if (right === undefined) return null;
  event.preventDefault();
  const clip = (n) => clamp(n, 0, side - 1);
  return { row: clip(row + down), column: clip(column + right) };
}

/** Return where a pointer is on an element that is so many columns wide and so many rows high. */
export function pointIn(node, event, columns, rows = columns) {
  const { left, top, width, height } = node.getBoundingClientRect();
  return {
    x: (event.clientX - left) / width * columns,
    y: (event.clientY - top) / height * rows,
  };
}

/** Follow a pointer from its press, unless `press` returns false, until it is lifted. */
export function onDrag(node, { press, drag }) {
  let isDown = false;
  node.addEventListener("pointerdown", (event) => {
    if (press(event) === false) return;
    isDown = true;
    node.setPointerCapture(event.pointerId);
  });
  node.addEventListener("pointermove", (event) => isDown && drag(event));
  node.addEventListener("lostpointercapture", () => { isDown = false; });
}

/** Make the buttons of a group one stop of the Tab key, in which arrow keys lead on: up and down by
 *  a row, where the group is a grid. */
export function makeOneStop(group) {
  const enter = (node) => {
    for (const other of group.querySelectorAll("button")) other.tabIndex = other === node ? 0 : -1;
  };
  enter(group.querySelector("button"));
  group.addEventListener("focusin", ({ target }) => enter(target));
  group.addEventListener("keydown", (event) => {
    const [down, right] = ARROWS[event.key] ?? [];
    if (down === undefined) return;
    event.preventDefault();
    const nodes = [...group.querySelectorAll("button")].filter((node) => node.offsetParent);
    const columns = getComputedStyle(group).gridTemplateColumns.split(" ").length;
    nodes[nodes.indexOf(document.activeElement) + down * columns + right]?.focus();
  });
}

/** Return what a JSON file of the page holds. */
export const read = async (file) => (await fetch(file)).json();

/** Return an image that a JSON file of the page has as text: 784 numbers in [0, 1]. */
export const imageOf = (text) => Float32Array.from(atob(text), (c) => c.charCodeAt(0) / 255);

export const textOf = (pixels) =>
  btoa(String.fromCharCode(...pixels.map((value) => Math.round(255 * value))));

/** Use the browser's storage, which a page inside another may not have: then return null. */
export function withStorage(use) {
  try {
    return use();
  } catch {
    return null;
  }
}
