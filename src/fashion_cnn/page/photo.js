/* A person's own picture: dropped, pasted, chosen or photographed; turned, mirrored and cropped; then
 * prepared by the Python package if it is behind this page, otherwise simply, here. */

import { announce, element, t } from "./shell.js";

const SHOWN = 320, SENT = 1024, SIDE = 28, STEP = 8, LARGE = STEP * SIDE; // pixels
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
    draw();
    await prepare();
  }

  async function prepare() {
    const current = asked += 1; // of two answers, the later question's counts
    $("mirror").setAttribute("aria-pressed", isMirrored);
    say(t("preparing"));
    let next = { error: "unreadable" };
    if (hasServer) next = await ask().catch(() => ({ error: "no server" }));
    else if (bitmap) next = prepareSimply(bitmap, crop, turns, isMirrored);
    if (current !== asked) return;
    answer = next;
    write();
    if (!answer.image) return;
    bitmap ??= await createImageBitmap(answer.steps.upright); // what the browser could not read
    draw();
    onPrepared(answer.image);
  }

  /** Let the package prepare the file, or the picture as it was changed here. */
  async function ask() {
    const isChanged = crop !== WHOLE || turns > 0 || isMirrored;
    const picture = isChanged && changedPicture(bitmap, crop, turns, isMirrored);
    const body = picture ? await new Promise((done) => { picture.toBlob(done); }) : file;
    const response = await fetch("prepare", { method: "POST", body });
    const { error, steps, unlikeness } = await response.json();
    if (error) return { error };
    const image = Float32Array.from(steps.centred.flat(2), (value) => value / 255);
    for (const name of Object.keys(steps)) steps[name] = pictureOf(steps[name].flat(), steps[name][0].length);
    return { steps, image, unlikeness };
  }

  /** Write what was answered, in the language in use. */
  function write() {
    if (!answer) return;
    const { error, steps = {}, unlikeness } = answer;
    $("steps").replaceChildren(...Object.entries(steps).map(([name, picture]) => (
      element("li", {}, picture, element("span", { textContent: t(`step ${name}`) })))));
    if (error) say(t(error));
    else if (!hasServer) say(t("simply"));
    else say(...unlikeness > 1 ? [t("unlike")] : [], t("unlikeness", { value: unlikeness.toFixed(2) }));
  }

  function say(...lines) {
    $("remark").replaceChildren(...lines.map((line) => element("span", { textContent: line })));
  }

  function draw() {
    canvas.parentElement.hidden = !bitmap;
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

/** Return a picture cropped, turned and mirrored, as large as the package needs it. */
function changedPicture(bitmap, crop, turns, isMirrored) {
  const width = (crop.right - crop.left) * bitmap.width, height = (crop.bottom - crop.top) * bitmap.height;
  const zoom = Math.min(1, SENT / Math.max(width, height));
  const sides = [width, height].map((side) => Math.max(1, Math.round(zoom * side)));
  const canvas = element("canvas", { width: sides[turns % 2], height: sides[1 - turns % 2] });
  drawChanged(canvas, zoom, bitmap, crop, turns, isMirrored);
  return canvas;
}

/** Draw a part of a picture in the middle of a canvas, turned and then mirrored. */
function drawChanged(canvas, zoom, bitmap, { left, top, right, bottom }, turns, isMirrored) {
  const context = canvas.getContext("2d"), width = (right - left) * bitmap.width, height = (bottom - top) * bitmap.height;
  context.imageSmoothingQuality = "high";
  context.translate(canvas.width / 2, canvas.height / 2);
  if (isMirrored) context.scale(-1, 1);
  context.rotate(turns * Math.PI / 2);
  context.drawImage(bitmap, left * bitmap.width, top * bitmap.height, width, height,
    -zoom * width / 2, -zoom * height / 2, zoom * width, zoom * height);
}

/** Make a picture grey, light on dark, trimmed and 28 by 28, on the assumption that its border is its
 *  background: the package tells a garment from its background by much more than that. */
function prepareSimply(bitmap, crop, turns, isMirrored) {
  const canvas = square(), { left, top, right, bottom } = crop;
  const zoom = LARGE / Math.max((right - left) * bitmap.width, (bottom - top) * bitmap.height);
  drawChanged(canvas, zoom, bitmap, crop, turns, isMirrored);
  const { grey, ground } = greyOf(canvas);
  const seen = [...grey.keys()].filter((n) => Math.abs(grey[n] - ground) > NOTICEABLE);
  if (seen.length === 0) return { error: "nothing" };
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
  return { image, steps: { upright: canvas, centred: pictureOf(Array.from(image, (value) => 255 * value), SIDE) } };
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

/** Draw pixels, each a grey value or a list of red, green and blue, from 0 to 255. */
function pictureOf(pixels, width) {
  const picture = new ImageData(width, pixels.length / width), canvas = element("canvas", { width, height: picture.height });
  pixels.forEach((pixel, n) => {
    const [red, green = red, blue = red] = [pixel].flat();
    picture.data.set([red, green, blue, 255], 4 * n);
  });
  canvas.getContext("2d").putImageData(picture, 0, 0);
  return canvas;
}
