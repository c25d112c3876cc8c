/* A person's own picture: dropped, pasted, chosen or photographed; turned, mirrored and cropped; then
 * prepared by the Python package if it is behind this page, otherwise simply, here. */

import { announce, element, lang, t } from "./shell.js";

const SHOWN = 320, SIDE = 28;
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
    else say(t("not a picture"));
    draw();
    section.scrollIntoView({ block: "nearest" });
  }

  async function prepare() {
    const mine = asked += 1; // of two answers, the later question's counts
    $("mirror").setAttribute("aria-pressed", isMirrored);
    let next;
    if (hasServer) {
      say(t("preparing"));
      next = await ask().catch(() => ({ error: { en: t("no server"), ko: t("no server") } }));
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
    const lines = [answer.error?.[lang], answer.remark?.[lang]];
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

/** Make a picture grey, square and light on dark, without telling the garment from its background. */
function prepareSimply(bitmap, { left, top, right, bottom }, turns, isMirrored) {
  const large = 8 * SIDE, canvas = element("canvas", { width: large, height: large });
  const context = canvas.getContext("2d", { willReadFrequently: true });
  const width = (right - left) * bitmap.width, height = (bottom - top) * bitmap.height;
  const zoom = large / Math.max(width, height);
  context.imageSmoothingQuality = "high";
  context.translate(large / 2, large / 2);
  if (isMirrored) context.scale(-1, 1);
  context.rotate(turns * Math.PI / 2);
  context.drawImage(bitmap, left * bitmap.width, top * bitmap.height, width, height,
    -zoom * width / 2, -zoom * height / 2, zoom * width, zoom * height);
  const { data } = context.getImageData(0, 0, large, large);
  const grey = new Float32Array(SIDE * SIDE), weight = new Float32Array(SIDE * SIDE);
  for (let n = 0; n < large * large; n++) {
    const cell = (Math.floor(n / large) >> 3) * SIDE + (n % large >> 3), share = data[4 * n + 3] / 255 / 64;
    grey[cell] += share * (0.299 * data[4 * n] + 0.587 * data[4 * n + 1] + 0.114 * data[4 * n + 2]) / 255;
    weight[cell] += share;
  }
  const seen = [...grey.keys()].filter((n) => weight[n] > 0.5);
  const border = seen.filter((n) => [n - 1, n + 1, n - SIDE, n + SIDE].some((m) => !(weight[m] > 0.5))
    || n % SIDE === 0 || n % SIDE === SIDE - 1);
  const ground = border.map((n) => grey[n] / weight[n]).sort((a, b) => a - b)[border.length >> 1];
  const image = new Float32Array(SIDE * SIDE);
  for (const n of seen) {
    const value = grey[n] / weight[n];
    image[n] = Math.max(0, ground > 0.5 ? (ground - value) / ground : (value - ground) / (1 - ground));
  }
  return { image, steps: [{ name: "upright", picture: canvas }, { name: "centred", picture: pictureOf(image) }] };
}

function pictureOf(image) {
  const canvas = element("canvas", { width: SIDE, height: SIDE });
  const picture = new ImageData(SIDE, SIDE);
  image.forEach((value, n) => picture.data.set([255 * value, 255 * value, 255 * value, 255], 4 * n));
  canvas.getContext("2d").putImageData(picture, 0, 0);
  return canvas;
}
