/* A worker that finds where the network looked: it is sent the model once, then rows to work on. */

import { occludedRow, run } from "./engine.js";

let model = null;

addEventListener("message", ({ data }) => {
  if (data.layers) model = data;
  else {
    const { task, image, label, rows } = data, result = run(model, image);
    for (const row of rows) {
      postMessage({ task, row, drops: occludedRow(model, result, label, row) });
    }
  }
});
