/* A person's own picture: dropped, pasted, chosen or photographed; turned, mirrored and cropped; then
 * prepared by the Python package if it is behind this page, otherwise simply, here. */

import { announce, element, lang, t } from "./shell.js";

const SHOWN = 320, SIDE = 28, STEP = 8, LARGE = STEP * SIDE;
const NOTICEABLE = 0.12; // difference of a grey value from the background's
const WHOLE = { left: 0, top: 0, right: 1, bottom: 1 };
const $ = (id) => document.getElementById(id);

/** Make the section of the own picture. Calls onPrepared(pixels) with 784 numbers in [0, 1]. */
export function createPhoto(hasServer, { onPrepared }) {
  const section = $("photo"), canvas = $("photo-canvas");
  let file = null, bitmap = null, crop = WHOLE, turns = 0, isMirrored = false, asked = 0, answer = null;

  /** Take a file, and prepare it at once. */
  async function take(next) {
    file = next;
    [crop, turns, isMirrored, answer] = [WHOLE, 0, false, null];
    bitmap?.close();
    bitmap = await createImageBitmap(file).catch(() => null);
    section.hidden = false;
    if (bitmap || hasServer) await prepare();
    else {
      $("steps").replaceChildren();
      say(t("not a picture"));
    }
    draw();
  }

  async function prepare() {
    const mine = asked += 1; // of two answers, the later question's counts
    $("mirror").setAttribute("aria-pressed", isMirrored);
    let next;
    if (hasServer) {
      say(t("preparing"));
      next = await ask().catch(() => ({ failure: "no server" }));
    } else {
      next = prepareSimply(bitmap, crop, turns, isMirrored);
    }
    if (mine !== asked) return;
    answer = next;
    write();
    if (answer.image) onPrepared(Float32Array.from(answer.image));
  }

  async function ask() {
    const query = new URLSearchParams({ turn: 90 * turns, mirror: Number(isMirrored) });
    if (crop !== WHOLE) {
      query.set("crop", [crop.left, crop.top, crop.right, crop.bottom].map((x) => x.toFixed(4)).join());
    }
    const response = await fetch(`prepare?${query}`, { method: "POST", body: file });
    return response.json();
  }

  /** Write what was answered, in the language in use. */
  function write() {
    if (!answer) return;
    $("steps").replaceChildren(...(answer.steps ?? []).map(({ name, png, picture }) => {
      const image = picture ?? element("img", { src: `data:image/png;base64,${png}`, alt: "" });
      return element("li", {}, image, element("span", { textContent: t(`step ${name}`) }));
    }));
    const lines = [answer.failure && t(answer.failure), answer.error?.[lang], answer.remark?.[lang]];
    if (answer.unlikeness !== undefined) lines.push(t("unlikeness", { value: answer.unlikeness.toFixed(2) }));
    if (answer.image && !hasServer) lines.push(t("simply"));
    if (!bitmap && answer.image) lines.push(t("no preview"));
    say(...lines.filter(Boolean));
  }

  function say(...lines) {
    $("remark").replaceChildren(...lines.map((line) => element("span", { textContent: line })));
  }

  function draw() {
    canvas.hidden = !bitmap;
    canvas.parentElement.hidden = !bitmap && !answer?.image;
    if (!bitmap) return;
    const zoom = SHOWN / Math.max(bitmap.width, bitmap.height);
    const width = Math.max(1, Math.round(bitmap.width * zoom)), height = Math.max(1, Math.round(bitmap.height * zoom));
    Object.assign(canvas, { width, height });
    const context = canvas.getContext("2d");
    context.drawImage(bitmap, 0, 0, width, height);
    if (crop === WHOLE) return;
    const box = [crop.left * width, crop.top * height, (crop.right - crop.left) * width, (crop.bottom - crop.top) * height];
    context.fillStyle = "rgb(0 0 0 / 55%)";
    context.beginPath();
    context.rect(0, 0, width, height);
    context.rect(...box);
    context.fill("evenodd");
    context.strokeStyle = "#2fe0c6";
    context.lineWidth = 2;
    context.strokeRect(...box);
  }

  function change() {
    draw();
    clearTimeout(change.timer);
    change.timer = setTimeout(prepare, 150);
  }

  let start = null;
  const at = (event) => {
    const { left, top, width, height } = canvas.getBoundingClientRect();
    const clip = (value) => Math.max(0, Math.min(1, value));
    return { x: clip((event.clientX - left) / width), y: clip((event.clientY - top) / height) };
  };
  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    start = at(event);
  });
  canvas.addEventListener("pointermove", (event) => {
    if (!start) return;
    const end = at(event);
    if (Math.abs(end.x - start.x) < 0.05 || Math.abs(end.y - start.y) < 0.05) return;
    crop = {
      left: Math.min(start.x, end.x), top: Math.min(start.y, end.y),
      right: Math.max(start.x, end.x), bottom: Math.max(start.y, end.y),
    };
    change();
  });
  for (const end of ["pointerup", "pointercancel"]) canvas.addEventListener(end, () => { start = null; });
  canvas.addEventListener("keydown", (event) => {
    const [x, y] = {
      ArrowUp: [0, -1], ArrowDown: [0, 1], ArrowLeft: [-1, 0], ArrowRight: [1, 0],
    }[event.key] ?? [];
    if (x === undefined) return;
    event.preventDefault();
    const { left, top, right, bottom } = crop, by = 0.05;
    const clip = (value, low, high) => Math.max(low, Math.min(high, value));
    if (event.shiftKey) {
      crop = { left, top, right: clip(right + by * x, left + 0.1, 1), bottom: clip(bottom + by * y, top + 0.1, 1) };
    } else {
      const dx = clip(by * x, -left, 1 - right), dy = clip(by * y, -top, 1 - bottom);
      crop = { left: left + dx, top: top + dy, right: right + dx, bottom: bottom + dy };
    }
    announce([crop.left, crop.top, crop.right, crop.bottom].map((part) => `${Math.round(100 * part)}%`).join(", "));
    change();
  });
  $("turn").onclick = () => { turns = (turns + 1) % 4; change(); };
  $("mirror").onclick = () => { isMirrored = !isMirrored; change(); };
  $("whole").onclick = () => { [crop, turns, isMirrored] = [WHOLE, 0, false]; change(); };
  $("photo-close").onclick = () => {
    section.hidden = true;
    $("pad").focus();
  };

  for (const id of ["file", "camera"]) {
    $(id).addEventListener("change", ({ target }) => {
      if (target.files[0]) take(target.files[0]);
      target.value = ""; // so that the same file can be chosen again
    });
  }
  addEventListener("dragover", (event) => {
    event.preventDefault();
    document.body.classList.add("dragging");
  });
  for (const end of ["dragleave", "drop"]) {
    addEventListener(end, () => document.body.classList.remove("dragging"));
  }
  addEventListener("drop", (event) => {
    event.preventDefault();
    if (event.dataTransfer.files[0]) take(event.dataTransfer.files[0]);
  });
  addEventListener("paste", (event) => {
    if (event.clipboardData.files[0]) take(event.clipboardData.files[0]);
  });
  return { write };
}

/** Make a picture grey, light on dark, trimmed and 28 by 28, on the assumption that its border is its
 *  background: the package tells a garment from its background by much more than that. */
function prepareSimply(bitmap, { left, top, right, bottom }, turns, isMirrored) {
  const canvas = square(), context = canvas.getContext("2d");
  const width = (right - left) * bitmap.width, height = (bottom - top) * bitmap.height;
  const zoom = LARGE / Math.max(width, height);
  context.imageSmoothingQuality = "high";
  context.translate(LARGE / 2, LARGE / 2);
  if (isMirrored) context.scale(-1, 1);
  context.rotate(turns * Math.PI / 2);
  context.drawImage(bitmap, left * bitmap.width, top * bitmap.height, width, height,
    -zoom * width / 2, -zoom * height / 2, zoom * width, zoom * height);
  const { grey, ground } = greyOf(canvas);
  const seen = [...grey.keys()].filter((n) => Math.abs(grey[n] - ground) > NOTICEABLE);
  if (seen.length === 0) return { failure: "nothing seen" };
  const rows = seen.map((n) => Math.floor(n / LARGE)), columns = seen.map((n) => n % LARGE);
  const least = (list) => list.reduce((a, b) => Math.min(a, b)), most = (list) => list.reduce((a, b) => Math.max(a, b));
  const [x, y] = [least(columns), least(rows)], [w, h] = [most(columns) - x + 1, most(rows) - y + 1];
  const trimmed = square(), fit = LARGE / Math.max(w, h);
  trimmed.getContext("2d").drawImage(canvas, x, y, w, h,
    (LARGE - fit * w) / 2, (LARGE - fit * h) / 2, fit * w, fit * h);
  const fine = greyOf(trimmed).grey, image = new Float32Array(SIDE * SIDE);
  fine.forEach((value, n) => {
    const contrast = ground > 0.5 ? (ground - value) / ground : (value - ground) / (1 - ground);
    const cell = Math.floor(n / LARGE / STEP) * SIDE + Math.floor(n % LARGE / STEP);
    image[cell] += Math.max(0, contrast || 0) / STEP ** 2;
  });
  return { image, steps: [{ name: "upright", picture: canvas }, { name: "centred", picture: pictureOf(image) }] };
}

function square() {
  const canvas = element("canvas", { width: LARGE, height: LARGE });
  canvas.getContext("2d", { willReadFrequently: true });
  return canvas;
}

/** Return the grey values of a canvas, NaN where it is empty, and the median of its border. */
function greyOf(canvas) {
  const { data } = canvas.getContext("2d").getImageData(0, 0, LARGE, LARGE);
  const grey = Float32Array.from({ length: LARGE * LARGE }, (_, n) => (data[4 * n + 3] < 255 ? NaN
    : (0.299 * data[4 * n] + 0.587 * data[4 * n + 1] + 0.114 * data[4 * n + 2]) / 255));
  const isEmpty = (n) => !(grey[n] >= 0), edges = [];
  for (let n = 0; n < grey.length; n++) {
    const row = Math.floor(n / LARGE), column = n % LARGE;
    const isEdge = row === 0 || column === 0 || row === LARGE - 1 || column === LARGE - 1
      || isEmpty(n - 1) || isEmpty(n + 1) || isEmpty(n - LARGE) || isEmpty(n + LARGE);
    if (isEdge && !isEmpty(n)) edges.push(grey[n]);
  }
  return { grey, ground: edges.sort((a, b) => a - b)[edges.length >> 1] };
}

function pictureOf(image) {
  const canvas = element("canvas", { width: SIDE, height: SIDE });
  const picture = new ImageData(SIDE, SIDE);
  image.forEach((value, n) => picture.data.set([255 * value, 255 * value, 255 * value, 255], 4 * n));
  canvas.getContext("2d").putImageData(picture, 0, 0);
  return canvas;
}
