/* A worker that finds where the network looked, in the rows that it is sent with an image. */

import { occludedRow, run } from "./engine.js";

addEventListener("message", ({ data: { model, image, label, rows } }) => {
  const result = run(model, image);
  for (const row of rows) postMessage({ row, drops: occludedRow(model, result, label, row) });
});
