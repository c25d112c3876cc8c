/* The drawing area: 28 by 28 cells for finger, mouse or keyboard. */

import { paint } from "./paint.js";

const SIDE = 28, SHADE = 0.9, PATCH = 7;

/** Make a drawing area out of the elements of network.html.
 *
 *  Calls onChange(isDrawn) when its pixels or its patch changed, and onPoint(row, column) when the keyboard
 *  went to a cell. */
export function createPad({ onChange, onPoint }) {
  const canvas = document.getElementById("pad");
  const marks = Object.fromEntries(
    ["field", "patch", "cursor"].map((id) => [id, document.getElementById(id)]));
  const pad = {
    pixels: new Float32Array(SIDE * SIDE),
    tool: "draw",
    radius: 1.5,
    patch: null, // its middle: {row, column}
    /** Show other pixels. */
    set(pixels) {
      pad.pixels = Float32Array.from(pixels);
      pad.patch = null;
      onChange(false);
    },
    /** Choose "draw", "erase" or "cover". */
    use(tool) {
      pad.tool = tool;
      if (tool !== "cover" && pad.patch) {
        pad.patch = null;
        onChange(false);
      }
    },
    /** Paint the pixels, the patch and the frame of a receptive field. */
    show(field) {
      paint(canvas, pad.pixels, SIDE, "grey");
      place(marks.field, field);
      place(marks.patch, pad.patch && square(pad.patch));
    },
  };
  let cursor = { row: 13, column: 13 }, last = null;

  function stroke(from, to, isErasing = pad.tool === "erase") {
    const [dx, dy] = [to.x - from.x, to.y - from.y], length = dx * dx + dy * dy;
    for (let row = 0; row < SIDE; row++) {
      for (let column = 0; column < SIDE; column++) {
        const [px, py] = [column + 0.5 - from.x, row + 0.5 - from.y];
        const along = length ? Math.max(0, Math.min(1, (px * dx + py * dy) / length)) : 0;
        const distance = Math.hypot(px - along * dx, py - along * dy);
        const strength = Math.max(0, Math.min(1, pad.radius + 0.5 - distance));
        const n = row * SIDE + column;
        pad.pixels[n] = isErasing ? Math.min(pad.pixels[n], 1 - strength)
          : Math.max(pad.pixels[n], SHADE * strength);
      }
    }
    onChange(true);
  }

  function cover({ x, y }) {
    const clip = (value) => Math.max(0, Math.min(SIDE - 1, Math.floor(value)));
    pad.patch = cursor = { row: clip(y), column: clip(x) };
    onChange(false);
  }

  function at(event) {
    const { left, top, width, height } = canvas.getBoundingClientRect();
    return { x: (event.clientX - left) / width * SIDE, y: (event.clientY - top) / height * SIDE };
  }

  canvas.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    canvas.setPointerCapture(event.pointerId);
    last = at(event);
    if (pad.tool === "cover") cover(last);
    else stroke(last, last);
  });
  canvas.addEventListener("pointermove", (event) => {
    if (pad.tool === "cover" && (last || event.pointerType === "mouse")) cover(at(event));
    if (!last || pad.tool === "cover") return;
    for (const part of event.getCoalescedEvents?.() ?? [event]) {
      const next = at(part);
      stroke(last, next);
      last = next;
    }
  });
  for (const end of ["pointerup", "pointercancel"]) canvas.addEventListener(end, () => { last = null; });

  canvas.addEventListener("keydown", (event) => {
    const [down, right] = {
      ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1], " ": [0, 0],
    }[event.key] ?? [];
    if (event.key === "Escape" && pad.patch) {
      pad.patch = null;
      onChange(false);
    }
    if (down === undefined) return;
    event.preventDefault();
    const middle = ({ row, column }) => ({ x: column + 0.5, y: row + 0.5 });
    const before = cursor, clip = (value) => Math.max(0, Math.min(SIDE - 1, value));
    cursor = { row: clip(cursor.row + down), column: clip(cursor.column + right) };
    if (pad.tool === "cover") cover(middle(cursor));
    else if (event.key === " " || event.shiftKey) stroke(middle(before), middle(cursor));
    showCursor();
    onPoint(cursor.row, cursor.column);
  });
  const showCursor = () => place(marks.cursor, canvas.matches(":focus-visible") && {
    top: cursor.row, left: cursor.column, bottom: cursor.row + 1, right: cursor.column + 1,
  });
  canvas.addEventListener("focus", showCursor);
  canvas.addEventListener("blur", showCursor);
  return pad;
}

/** Return the cells that a patch covers. */
function square({ row, column }) {
  const half = PATCH >> 1;
  return {
    top: Math.max(row - half, 0), left: Math.max(column - half, 0),
    bottom: Math.min(row + half + 1, SIDE), right: Math.min(column + half + 1, SIDE),
  };
}

/** Put an SVG rectangle around some cells, or hide it. */
function place(rectangle, cells) {
  rectangle.toggleAttribute("hidden", !cells);
  if (!cells) return;
  rectangle.setAttribute("x", cells.left);
  rectangle.setAttribute("y", cells.top);
  rectangle.setAttribute("width", cells.right - cells.left);
  rectangle.setAttribute("height", cells.bottom - cells.top);
}
