/* A person's own picture: dropped, pasted, chosen or photographed; turned, mirrored and cropped;
 * then prepared by the Python package if it is behind this page, otherwise here. */

import { $, ARROWS, SIDE, clamp, element, onDrag, pointIn } from "./kit.js";
import { pack, paint } from "./paint.js";
import { announce, t } from "./shell.js";

const SHOWN = 320, SENT = 1024, MAX_SIDE = 224; // pixels
const WHOLE = { left: 0, top: 0, right: 1, bottom: 1 };
const AS_TAKEN = { crop: WHOLE, turns: 0, isMirrored: false };

/** Make the section of the own picture. Calls onPrepared(pixels) with 784 numbers in [0, 1], whose
 *  unlikeness `measure` returns, if it is known. */
export function createPhoto(hasServer, { measure, onPrepared }) {
  const canvas = $("photo-canvas");
  let file = null, bitmap = null, edit = AS_TAKEN, asked = 0, answer = null;

  /** Take the first of some files, if there is one, and prepare it at once. */
  async function take(files) {
    if (files.length === 0) return;
    [file, edit, answer] = [files[0], AS_TAKEN, null];
    bitmap?.close();
    bitmap = await createImageBitmap(file).catch(() => null);
    $("photo").hidden = false;
    draw();
    await prepare();
  }

  async function prepare() {
    const current = asked += 1; // of two answers, the later question's counts
    $("mirror").ariaPressed = edit.isMirrored;
    say(t("preparing"));
    let next = { error: "unreadable" };
    if (hasServer) next = await ask().catch(() => ({ error: "no server" }));
    else if (bitmap) {
      await new Promise((done) => { setTimeout(done); }); // shows that it is being prepared
      next = await prepareHere(bitmap, edit);
    }
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
    const isChanged = edit.crop !== WHOLE || edit.turns > 0 || edit.isMirrored;
    const picture = isChanged && changedPicture(bitmap, edit, SENT);
    const body = picture ? await new Promise((done) => { picture.toBlob(done); }) : file;
    const response = await fetch("prepare", { method: "POST", body });
    const { error, steps } = await response.json();
    if (error) return { error };
    const image = Float32Array.from(steps.centred.flat(2), (value) => value / 255);
    // Pixels are grey values or lists of red, green and blue.
    const colour = (pixel) => pack([pixel].flat());
    const pictures = Object.entries(steps).map(([name, rows]) =>
      [name, paint(element("canvas"), rows.flat(), rows[0].length, colour)]);
    return { steps: Object.fromEntries(pictures), image };
  }

  /** Write what was answered, in the language in use. */
  function write() {
    if (!answer) return;
    const { error, steps = {}, image } = answer;
    $("steps").replaceChildren(...Object.entries(steps).map(([name, picture]) => (
      element("li", {}, picture, element("span", { textContent: t(`step ${name}`) })))));
    if (error) $("photo").scrollIntoView({ block: "nearest" }); // it is below the first screen
    const unlikeness = image && measure(image), lines = [];
    if (error) lines.push(t(error));
    if (unlikeness > 1) lines.push(t("unlike"));
    if (unlikeness) lines.push(t("unlikeness", { value: unlikeness.toFixed(2) }));
    if (image && !hasServer) lines.push(t("simply"));
    say(...lines);
  }

  function say(...lines) {
    $("remark").replaceChildren(...lines.map((line) => element("span", { textContent: line })));
  }

  function draw() {
    canvas.parentElement.hidden = !bitmap;
    if (!bitmap) return;
    const zoom = SHOWN / Math.max(bitmap.width, bitmap.height);
    const [width, height] = [bitmap.width, bitmap.height].map((side) =>
      Math.max(1, Math.round(side * zoom)));
    Object.assign(canvas, { width, height });
    const context = canvas.getContext("2d"), { left, top, right, bottom } = edit.crop;
    context.drawImage(bitmap, 0, 0, width, height);
    if (edit.crop === WHOLE) return;
    const box = [left * width, top * height, (right - left) * width, (bottom - top) * height];
    context.fillStyle = "rgb(0 0 0 / 55%)";
    context.beginPath();
    context.rect(0, 0, width, height);
    context.rect(...box);
    context.fill("evenodd");
    context.strokeStyle = "#2fe0c6";
    context.lineWidth = 2;
    context.strokeRect(...box);
  }

  function change(part) {
    edit = { ...edit, ...part };
    draw();
    clearTimeout(change.timer);
    change.timer = setTimeout(prepare, 150);
  }

  let start = null;
  const at = (event) => {
    const { x, y } = pointIn(canvas, event, 1);
    return { x: clamp(x, 0, 1), y: clamp(y, 0, 1) };
  };
  onDrag(canvas, {
    press: (event) => { start = at(event); },
    drag: (event) => {
      const end = at(event);
      if (Math.min(Math.abs(end.x - start.x), Math.abs(end.y - start.y)) < 0.05) return;
      change({ crop: {
        left: Math.min(start.x, end.x), top: Math.min(start.y, end.y),
        right: Math.max(start.x, end.x), bottom: Math.max(start.y, end.y),
      } });
    },
  });
  canvas.addEventListener("keydown", (event) => {
    if (!(event.key in ARROWS)) return;
    event.preventDefault();
    const { left, top, right, bottom } = edit.crop;
    const [down, on] = ARROWS[event.key].map((steps) => 0.05 * steps);
    const dx = clamp(on, -left, 1 - right), dy = clamp(down, -top, 1 - bottom);
    const crop = event.shiftKey
      ? { left, top, right: clamp(right + on, left + 0.1, 1),
        bottom: clamp(bottom + down, top + 0.1, 1) }
      : { left: left + dx, top: top + dy, right: right + dx, bottom: bottom + dy };
    announce(Object.values(crop).map((part) => `${Math.round(100 * part)}%`).join(", "));
    change({ crop });
  });
  $("turn").onclick = () => change({ turns: (edit.turns + 1) % 4 });
  $("mirror").onclick = () => change({ isMirrored: !edit.isMirrored });
  $("whole").onclick = () => change(AS_TAKEN);
  $("photo-close").onclick = () => {
    $("photo").hidden = true;
    $("pad").focus();
  };

  for (const id of ["file", "camera"]) {
    $(id).addEventListener("change", ({ target }) => {
      take([...target.files]);
      target.value = ""; // so that the same file can be chosen again
    });
  }
  for (const type of ["dragover", "dragleave", "drop"]) {
    addEventListener(type, (event) => {
      document.body.classList.toggle("dragging", type === "dragover");
      if (type !== "dragleave") event.preventDefault();
      if (type === "drop") take(event.dataTransfer.files);
    });
  }
  addEventListener("paste", (event) => take(event.clipboardData.files));
  return { write };
}

/** Return a picture cropped, turned and mirrored, its longer side at most so many pixels long. */
function changedPicture(bitmap, { crop, turns, isMirrored }, longest) {
  const { left, top, right, bottom } = crop;
  const [width, height] = [(right - left) * bitmap.width, (bottom - top) * bitmap.height];
  const zoom = Math.min(1, longest / Math.max(width, height));
  const sides = [width, height].map((side) => Math.max(1, Math.round(zoom * side)));
  const canvas = element("canvas", { width: sides[turns % 2], height: sides[1 - turns % 2] });
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.imageSmoothingQuality = "high";
  context.translate(canvas.width / 2, canvas.height / 2);
  if (isMirrored) context.scale(-1, 1);
  context.rotate(turns * Math.PI / 2);
  context.drawImage(bitmap, left * bitmap.width, top * bitmap.height, width, height,
    -zoom * width / 2, -zoom * height / 2, zoom * width, zoom * height);
  return canvas;
}

/** Prepare a picture here, as the package does in more steps. */
async function prepareHere(bitmap, edit) {
  const { prepared } = await import("./garment.js"); // for who brings a picture
  const upright = changedPicture(bitmap, edit, MAX_SIDE), { width, height } = upright;
  if (Math.max(width, height) < SIDE) return { error: "small" };
  const grids = prepared(upright.getContext("2d").getImageData(0, 0, width, height));
  if (!grids) return { error: "nothing" };
  const steps = Object.entries(grids).map(([name, { values, width: wide }]) =>
    [name, paint(element("canvas"), values, wide)]);
  return { image: grids.centred.values, steps: { upright, ...Object.fromEntries(steps) } };
}
