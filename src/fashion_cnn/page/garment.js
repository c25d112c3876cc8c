/* A garment found in a picture and made like the images of the data set: the steps that matter of
 * fashion_cnn.photo.garment. Masks and greys are arrays, row by row, of rows so wide. */

import { SIDE, add, clamp } from "./kit.js";

const NOISE = 9; // variance that is added to each colour, as a background may not vary at all
const GAMMA = 50, ROUNDS = 4, STEPS = 80, UP = 1 / 8, ALONG = 1 / 2; // of the cut
const CERTAIN = 1000; // of the cost of a cell that is known

const median = (values) => Float32Array.from(values).sort()[values.length >> 1];
const inverse = (mask) => mask.map((is) => 1 - is);

/** Return the steps from ImageData to an image like the data set's, each {values, width}, or null
 *  if nothing stands out. */
export function prepared({ data, width, height }) {
  const isShown = Uint8Array.from({ length: width * height }, (_, n) => data[4 * n + 3] > 127);
  const isCutOut = isShown.includes(0), isSmall = Math.max(width, height) === SIDE;
  const shade = Float32Array.from(isShown, (_, n) =>
    (0.299 * data[4 * n] + 0.587 * data[4 * n + 1] + 0.114 * data[4 * n + 2]) / 255);
  const mean = shade.reduce((sum, value, n) => sum + value * isShown[n], 0) / isShown.reduce(add);
  const paper = mean > 0.8 ? 0 : 1; // what shows through
  let grey = shade.map((value, n) => paper + (value - paper) * data[4 * n + 3] / 255);
  let mask = isShown;
  if (isSmall) { // an image of the data set
    mask = isShown.fill(1);
    grey = median(grey) > 0.5 ? inverse(grey) : grey;
  } else {
    mask = cleaned(isCutOut ? mask : standingOut(medians(labOf(data), width), width), width);
    if (!mask.includes(1)) return null;
    grey = onBlack(grey, mask, width);
  }
  const trimmed = drawnIn(grey, mask, width);
  const [found, onGround] = [mask, grey].map((values) => ({ values, width }));
  return { mask: found, grey: onGround, trimmed, centred: centred(trimmed) };
}

/** Return the colours in CIE L*a*b*, three numbers each, as OpenCV scales them to bytes. */
function labOf(data) {
  const light = Float32Array.from({ length: 256 }, (_, n) => ((n / 255 + 0.055) / 1.055) ** 2.4);
  const lab = new Float32Array(data.length / 4 * 3);
  for (let n = 0, m = 0; n < data.length; n += 4, m += 3) {
    const r = light[data[n]], g = light[data[n + 1]], b = light[data[n + 2]];
    const x = Math.cbrt((0.4125 * r + 0.3576 * g + 0.1804 * b) / 0.9505);
    const y = Math.cbrt(0.2127 * r + 0.7152 * g + 0.0722 * b);
    const z = Math.cbrt((0.0193 * r + 0.1192 * g + 0.9502 * b) / 1.0888);
    lab[m] = 2.55 * (116 * y - 16);
    lab[m + 1] = 500 * (x - y);
    lab[m + 2] = 200 * (y - z);
  }
  return lab;
}

/** Return for each number the median of its own and those of the eight cells around. */
function medians(lab, width) {
  const row = 3 * width, around = new Float32Array(9);
  const places = [-row, 0, row].flatMap((down) => [down - 3, down, down + 3]);
  return lab.map((own, n) => {
    places.forEach((place, k) => { around[k] = lab[n + place] ?? own; });
    return around.sort()[4];
  });
}

/** Find what differs from the picture's border, by GrabCut (Rother et al., 2004): each side is a
 *  Gaussian of its colours, the border between them is short and follows edges. */
function standingOut(lab, width) {
  const size = lab.length / 3, height = size / width, reach = 0.03 * Math.max(width, height);
  const isEdge = Uint8Array.from({ length: size }, (_, n) => {
    const x = n % width, y = Math.floor(n / width);
    return Math.min(x, y, width - 1 - x, height - 1 - y) < Math.round(reach);
  });
  const [l, a, b] = [0, 1, 2].map((c) =>
    median(lab.filter((_, n) => n % 3 === c && isEdge[(n - c) / 3])));
  const away = Float32Array.from(isEdge, (_, n) => Math.hypot(lab[3 * n] - l,
    lab[3 * n + 1] - a, lab[3 * n + 2] - b, Math.sqrt(3 * NOISE)));
  const most = 6 * median(away.filter((_, n) => isEdge[n]));
  const isGround = isEdge.map((is, n) => is && away[n] <= most); // a garment may reach the edge
  const offsets = [1, width, width + 1, width - 1];
  const steps = offsets.map((offset) => Float32Array.from(isEdge, (_, n) => {
    const x = n % width, y = (n + offset) % width; // rows do not go on at the other side
    return n + offset < size && Math.abs(x - y) < 2 ? squared(lab, n, n + offset) : Infinity;
  }));
  const known = steps.map((step) => step.reduce((sum, d) => sum + (d < Infinity ? d : 0), 0));
  const beta = 2 * size / known.reduce(add); // half of one over the mean
  const links = steps.map((step, k) =>
    step.map((d) => Math.exp(-beta * d) / (k < 2 ? 1 : Math.SQRT2)));
  return cut(lab, isGround, offsets, links);
}

/** Return how far apart two colours are, squared. */
function squared(lab, n, m) {
  const l = lab[3 * n] - lab[3 * m], a = lab[3 * n + 1] - lab[3 * m + 1];
  const b = lab[3 * n + 2] - lab[3 * m + 2];
  return l * l + a * a + b * b + 6 * NOISE;
}

/** Separate the sides: the cheapest cut is found as in Chambolle and Pock (2011), by steps of
 *  `front`, which becomes 0 or 1, and of flows along the links that pull neighbours together. */
function cut(lab, isGround, offsets, links) {
  const flows = links.map((link) => link.map(() => 0));
  const front = Float32Array.from(isGround, (is) => 1 - is), ahead = front.slice();
  const pull = front.map(() => 0);
  for (let round = 0; round < ROUNDS; round++) {
    const [inner, outer] = [true, false].map((side) => gaussian(lab, front, side));
    if (!inner || !outer) break;
    const cost = front.map((_, n) => (isGround[n] ? CERTAIN : (inner(n) - outer(n)) / GAMMA));
    for (let step = 0; step < STEPS; step++) {
      offsets.forEach((offset, k) => flow(flows[k], links[k], ahead, pull, offset));
      rise(front, ahead, pull, cost);
    }
  }
  return Uint8Array.from(front, (x) => x > 0.5);
}

function flow(flows, link, ahead, pull, offset) {
  for (let n = 0; n + offset < flows.length; n++) {
    const most = link[n], value = flows[n] + ALONG * (ahead[n + offset] - ahead[n]);
    const kept = value > most ? most : value < -most ? -most : value;
    flows[n] = kept;
    pull[n] += kept;
    pull[n + offset] -= kept;
  }
}

function rise(front, ahead, pull, cost) {
  for (let n = 0; n < front.length; n++) {
    const old = front[n], value = old + UP * (pull[n] - cost[n]);
    const kept = value > 1 ? 1 : value < 0 ? 0 : value;
    front[n] = kept;
    ahead[n] = 2 * kept - old;
    pull[n] = 0;
  }
}

/** Return minus the logarithm of the density of chosen colours, as a function of a cell. */
function gaussian(lab, front, side) {
  const sums = new Float64Array(9);
  let count = 0;
  for (let n = 0; n < front.length; n++) {
    if (front[n] > 0.5 !== side) continue;
    count += 1;
    const l = lab[3 * n], a = lab[3 * n + 1], b = lab[3 * n + 2];
    [l, a, b, l * l, a * a, b * b, a * b, l * b, l * a].forEach((x, k) => { sums[k] += x; });
  }
  if (count === 0) return null;
  const [ml, ma, mb, ll, aa, bb, ab, lb, la] = sums.map((sum) => sum / count);
  const [A, B, C] = [ll - ml * ml, aa - ma * ma, bb - mb * mb].map((x) => x + NOISE);
  const D = ab - ma * mb, E = lb - ml * mb, F = la - ml * ma;
  const det = A * B * C + 2 * D * E * F - A * D * D - B * E * E - C * F * F;
  const [a, b, c, d, e, f] = [B * C - D * D, A * C - E * E, A * B - F * F, E * F - A * D,
    D * F - B * E, D * E - C * F].map((minor) => minor / det);
  const least = (Math.log(det) + NOISE * (a + b + c)) / 2;
  return (n) => {
    const x = lab[3 * n] - ml, y = lab[3 * n + 1] - ma, z = lab[3 * n + 2] - mb;
    return least + (a * x * x + b * y * y + c * z * z) / 2 + d * y * z + e * x * z + f * x * y;
  };
}

/** Drop what is thin and what is small; fill small holes. */
function cleaned(mask, width) {
  const soft = blurred(mask, width, Math.max(width, mask.length / width) / 150);
  const parts = partsOf(mask.map((_, n) => soft[n] > 0.5), width), whole = mask.map(() => 0);
  const most = Math.max(...parts.map((part) => part.length));
  const keep = (part) => part.forEach((n) => { whole[n] = 1; });
  parts.filter((part) => part.length >= 0.15 * most).forEach(keep);
  const area = whole.reduce(add);
  partsOf(inverse(whole), width).filter((part) => part.length < 0.02 * area).forEach(keep);
  return area < 1 ? whole.fill(0) : whole;
}

/** Return the connected parts of a mask: for each the list of its cells. */
function partsOf(mask, width) {
  const isLeft = mask.slice(), parts = [];
  isLeft.forEach((_, start) => {
    if (!isLeft[start]) return;
    const part = [start];
    isLeft[start] = 0;
    for (const n of part) { // which grows meanwhile
      const x = n % width;
      for (const m of [n - width, n + width, x > 0 ? n - 1 : n, x < width - 1 ? n + 1 : n]) {
        if (!isLeft[m]) continue;
        isLeft[m] = 0;
        part.push(m);
      }
    }
    parts.push(part);
  });
  return parts;
}

/** Return the garment in greys around 0.6, on black, its negative if it lay on light; blurred, but
 *  not across its outline. */
function onBlack(grey, mask, width) {
  const outside = grey.filter((_, n) => !mask[n]);
  const isNegative = outside.length === 0 || median(outside) >= 0.25;
  const inner = blurred(mask, width, 1).map((x) => Number(x > 0.9));
  const sigma = 0.02 * Math.sqrt(mask.reduce(add));
  const weights = blurred(inner, width, sigma);
  const sums = blurred(grey.map((x, n) => inner[n] * (isNegative ? 1 - x : x)), width, sigma);
  const soft = sums.map((sum, n) => sum / Math.max(weights[n], 1e-6));
  const middle = median(soft.filter((_, n) => mask[n]));
  return soft.map((x, n) => mask[n] && clamp(0.6 + x - middle, 0.12, 1));
}

function blurred(values, width, sigma) {
  const reach = Math.ceil(4 * sigma), height = values.length / width;
  const weights = Array.from({ length: 2 * reach + 1 }, (_, n) =>
    Math.exp(-((n - reach) ** 2) / 2 / sigma ** 2));
  const total = weights.reduce(add);
  const along = (from, count, step) => Float32Array.from(from, (_, n) => {
    const place = Math.floor(n / step) % count, last = Math.min(reach, count - 1 - place);
    let sum = 0;
    for (let k = Math.max(-reach, -place); k <= last; k++) {
      sum += weights[k + reach] * from[n + k * step];
    }
    return sum / total;
  });
  return along(along(values, width, 1), height, width);
}

/** Cut a garment out; narrow sleeves that are spread until the body takes 60 % of the width. */
function drawnIn(values, mask, width) {
  const held = new Uint32Array(width), rows = [];
  mask.forEach((is, n) => {
    held[n % width] += is;
    if (is) rows.push(Math.floor(n / width));
  });
  const most = Math.max(...held), isBody = (count) => count >= 0.5 * most;
  const [first, start] = [Boolean, isBody].map((is) => held.findIndex(is));
  const [last, end] = [Boolean, isBody].map((is) => held.findLastIndex(is) + 1);
  const sleeves = [start - first, last - end], body = end - start; // a shoe has none
  const isSpread = Math.min(...sleeves) >= 0.3 * Math.max(...sleeves);
  const factor = isSpread ? Math.min(1, body * 2 / 3 / Math.max(1, last - first - body)) : 1;
  const left = sleeves[0] * factor, wide = body + (last - first - body) * factor;
  const columns = bounds(wide, Math.max(1, Math.round(wide))).map((x) => first
    + Math.min(x, left) / factor + clamp(x - left, 0, body)
    + Math.max(0, x - left - body) / factor);
  const tall = rows.at(-1) + 1 - rows[0];
  return averaged({ values, width }, columns, bounds(tall, tall).map((y) => rows[0] + y));
}

/** Scale the longer side to 28 pixels, in the middle of a black square. */
function centred(grid) {
  const sides = [grid.width, grid.values.length / grid.width], scale = SIDE / Math.max(...sides);
  const [columns, rows] = sides.map((side) => bounds(side, Math.max(1, Math.round(side * scale))));
  const small = averaged(grid, columns, rows), values = new Float32Array(SIDE * SIDE);
  const [left, top] = [columns, rows].map(({ length }) => (SIDE + 2 - length) >> 1);
  small.values.forEach((value, n) => {
    const row = top + Math.floor(n / small.width), column = left + n % small.width;
    values[row * SIDE + column] = Math.round(255 * value) / 255;
  });
  return { values, width: SIDE };
}

/** Return the bounds of so many equal parts of a length. */
const bounds = (length, count) =>
  Array.from({ length: count + 1 }, (_, n) => n * length / count);

/** Average the cells between the bounds of columns and of rows, at least one each. */
function averaged({ values, width }, columns, rows) {
  const [xs, ys] = [columns, rows].map((edges) => edges.slice(1).map((end, n) => {
    const start = Math.min(Math.round(edges[n]), Math.round(edges.at(-1)) - 1);
    return [start, Math.max(start + 1, Math.round(end))];
  }));
  const means = ys.flatMap(([top, bottom]) => xs.map(([left, right]) => {
    let sum = 0;
    for (let y = top; y < bottom; y++) {
      for (let x = left; x < right; x++) sum += values[y * width + x];
    }
    return sum / (bottom - top) / (right - left);
  }));
  return { values: means, width: xs.length };
}
