/* The drawing area: 28 by 28 cells for finger, mouse or keyboard. */

import { meanGrey, squareAround } from "./engine.js";
import { $, SIDE, clamp, ledTo, onDrag, pointIn, svg } from "./kit.js";
import { cssColour, paint } from "./paint.js";

const SHADE = 0.9;
const inside = (cell) => clamp(Math.floor(cell), 0, SIDE - 1);

/** Make a drawing area out of the elements of network.html.
 *
 *  Calls onChange("draw" or "set") when its pixels changed, onChange("cover" or "uncover") when its
 *  patch did, and onPoint(row, column) when the keyboard went to a cell. */
export function createPad({ onChange, onPoint }) {
  const canvas = $("pad");
  const pad = {
    pixels: new Float32Array(SIDE * SIDE),
    tool: "draw", // or "erase" or "cover"
    radius: 1.5,
    patch: null, // its middle: {row, column}
    set(pixels) {
      remember();
      pad.pixels = Float32Array.from(pixels);
      setPatch(null, "set");
    },
    /** Take back the last stroke, or the last picture that was set. */
    undo() {
      if (past.length === 0) return;
      pad.pixels = past.pop();
      setPatch(null, "set");
    },
    use(tool) {
      pad.tool = tool;
      if (tool !== "cover" && pad.patch) setPatch(null, "uncover");
    },
    /** Paint the pixels, the patch and the frame of a receptive field. */
    show(field) {
      paint(canvas, pad.pixels, SIDE);
      seen = field;
      mark();
    },
  };
  const past = [];
  const remember = () => past.push(pad.pixels.slice());
  let cursor = { row: 13, column: 13 }, last = null, seen = null;

  function mark() {
    const marks = {
      field: seen, patch: pad.patch && squareAround(pad.patch), cursor: squareAround(cursor, 1),
    };
    const shown = Object.entries(marks).filter(([, cells]) => cells);
    $("marks").replaceChildren(...shown.map(([id, { left: x, top: y, right, bottom }]) =>
      svg("rect", { id, x, y, width: right - x, height: bottom - y })));
    if (pad.patch) $("patch").style.fill = cssColour("grey", meanGrey(pad.pixels)).color;
  }

  function setPatch(patch, how) {
    pad.patch = patch;
    onChange(how);
  }

  function stroke(from, to) {
    const [dx, dy] = [to.x - from.x, to.y - from.y], length = dx * dx + dy * dy;
    for (let row = 0; row < SIDE; row++) {
      for (let column = 0; column < SIDE; column++) {
        const [px, py] = [column + 0.5 - from.x, row + 0.5 - from.y];
        const along = length ? clamp((px * dx + py * dy) / length, 0, 1) : 0;
        const distance = Math.hypot(px - along * dx, py - along * dy);
        const strength = clamp(pad.radius + 0.5 - distance, 0, 1);
        const n = row * SIDE + column;
        const value = pad.tool === "erase" ? Math.min(pad.pixels[n], 1 - strength)
          : Math.max(pad.pixels[n], SHADE * strength);
        pad.pixels[n] = Math.round(255 * value) / 255;
      }
    }
    onChange("draw");
  }

  function cover({ x, y }) {
    cursor = { row: inside(y), column: inside(x) };
    setPatch(cursor, "cover");
  }

  onDrag(canvas, {
    press: (event) => {
      if (event.button !== 0) return false;
      last = pointIn(canvas, event, SIDE);
      if (pad.tool === "cover") cover(last);
      else {
        remember();
        stroke(last, last);
      }
    },
    drag: (event) => {
      if (pad.tool === "cover") return;
      for (const part of event.getCoalescedEvents?.() ?? [event]) {
        const next = pointIn(canvas, part, SIDE);
        stroke(last, next);
        last = next;
      }
    },
  });
  canvas.addEventListener("pointermove", (event) => { // a mouse covers without being pressed
    const isPointing = pad.tool === "cover" && (event.buttons || event.pointerType === "mouse");
    if (isPointing) cover(pointIn(canvas, event, SIDE));
  });

  canvas.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && pad.patch) setPatch(null, "uncover");
    const before = cursor, next = event.key === " " ? cursor : ledTo(event, cursor, SIDE);
    if (!next) return;
    event.preventDefault();
    cursor = next;
    const middle = ({ row, column }) => ({ x: column + 0.5, y: row + 0.5 });
    if (pad.tool === "cover") cover(middle(cursor));
    else if (event.key === " " || event.shiftKey) {
      remember();
      stroke(middle(before), middle(cursor));
    }
    mark();
    onPoint(cursor.row, cursor.column);
  });
  return pad;
}
