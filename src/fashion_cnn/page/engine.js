/* The forward pass of the network in plain JavaScript, and the sums behind every single number.
 *
 * A model is what readModel returns. Maps are Float32Arrays in the order of Keras: row by row, cell
 * by cell, all channels of a cell together. Sums are made in 64 bits and rounded at the end. */

import { SIDE, add, cellOf, indexOfLargest } from "./kit.js";

const SMALLEST_HALF = 2 ** -24;
const sizeOf = (shape) => shape.reduce((a, b) => a * b);

/** Read the weights of a manifest (see app/page_model.py); half floats become 32-bit floats. */
export function readModel(manifest, buffer) {
  const bytes = new DataView(buffer);
  const numberAt = manifest.dtype === "float16"
    ? (offset, n) => half(bytes.getUint16(offset + 2 * n, true))
    : (offset, n) => bytes.getFloat32(offset + 4 * n, true);
  let input = [SIDE, SIDE, 1];
  const layers = manifest.layers.map((layer) => {
    const [weights, biases] = layer.weights.map(({ shape, offset }) =>
      Float32Array.from({ length: sizeOf(shape) }, (_, n) => numberAt(offset, n)));
    const described = { ...layer, input, weights, biases };
    input = layer.shape;
    return described;
  });
  return { ...manifest, layers };
}

function half(bits) {
  const sign = bits >> 15 ? -1 : 1, exponent = bits >> 10 & 31, fraction = bits & 1023;
  if (exponent === 0) return sign * fraction * SMALLEST_HALF;
  if (exponent === 31) return fraction ? NaN : sign * Infinity;
  return sign * 2 ** (exponent - 15) * (1 + fraction / 1024);
}

/** Compute every layer for an image of 784 numbers in [0, 1].
 *
 *  Returns {image, layers: [{output, before}], logits}; `before` is what ReLU gets.
 *  With `base`, what run returned for an image that differs only inside `changed` ({top, left,
 *  bottom, right}, ends excluded), only what the difference changes is computed. */
export function run(model, image, base = null, changed = EVERYTHING) {
  let input = new Float32Array(image), old = base?.image, region = changed;
  const result = { image: input, layers: [], logits: null };
  model.layers.forEach((layer, index) => {
    const { kind, shape, biases } = layer, known = base?.layers[index];
    let output = input, before; // Flatten keeps the order, and Dropout acts in training only
    if (kind === "conv" || kind === "dense") {
      before = known?.before.slice()
        ?? Float64Array.from({ length: sizeOf(shape) }, (_, n) => biases[n % biases.length]);
    }
    if (kind === "conv" || kind === "pool") {
      const reach = reached(layer, region);
      output = known?.output.slice() ?? new Float32Array(sizeOf(shape));
      if (kind === "pool") pool(layer, input, output, reach);
      else {
        convolve(layer, input, old, before, region);
        rectify(layer, before, output, reach);
      }
      region = reach;
    } else if (kind === "dense") {
      dense(layer, input, old, before);
      const isLast = index === model.layers.length - 1;
      if (isLast) result.logits = before;
      output = isLast ? softmax(before) : Float32Array.from(before, (sum) => Math.max(sum, 0));
    }
    result.layers.push({ output, before });
    [input, old] = [output, known?.output];
  });
  return result;
}

const EVERYTHING = { top: 0, left: 0, bottom: SIDE, right: SIDE };

/** Return the part of some cells that lies inside a picture or map. */
const cut = ({ top, left, bottom, right }, [height, width] = [SIDE, SIDE]) => ({
  top: Math.max(top, 0), left: Math.max(left, 0),
  bottom: Math.min(bottom, height), right: Math.min(right, width),
});

/** Return which cells of a layer depend on a region of the layer before. */
function reached({ kind, shape }, { top, left, bottom, right }) {
  return cut(kind === "pool"
    ? { top: top >> 1, left: left >> 1, bottom: (bottom + 1) >> 1, right: (right + 1) >> 1 }
    : { top: top - 1, left: left - 1, bottom: bottom + 1, right: right + 1 }, shape);
}

/** Add a row of weights, times a value, to sums: a function of its own is compiled to run fast. */
function addTimes(sums, place, weights, weight, count, value) {
  for (let n = 0; n < count; n++) sums[place + n] += value * weights[weight + n];
}

/** Add to the sums what each value of a region of the input, or its difference from the old one,
 *  gives to the nine cells around it. */
function convolve({ input: [height, width, channels], shape: [, , filters], weights },
  input, old, sums, { top, left, bottom, right }) {
  for (let y = top; y < bottom; y++) {
    for (let x = left; x < right; x++) {
      for (let c = 0, cell = (y * width + x) * channels; c < channels; c++, cell++) {
        const value = old ? input[cell] - old[cell] : input[cell];
        if (value === 0) continue; // most cells, after ReLU
        for (let i = 0; i < 3; i++) {
          const row = y + 1 - i;
          if (row < 0 || row >= height) continue; // padding "same": zeros add nothing
          for (let j = 0; j < 3; j++) {
            const column = x + 1 - j;
            if (column < 0 || column >= width) continue;
            const place = (row * width + column) * filters;
            const weight = ((3 * i + j) * channels + c) * filters;
            addTimes(sums, place, weights, weight, filters, value);
          }
        }
      }
    }
  }
}

function rectify({ shape: [, width, filters] }, sums, output, { top, left, bottom, right }) {
  for (let row = top; row < bottom; row++) {
    const end = (row * width + right) * filters;
    for (let n = (row * width + left) * filters; n < end; n++) output[n] = Math.max(sums[n], 0);
  }
}

function pool({ input: [, wide], shape: [, width, channels] }, input, output,
  { top, left, bottom, right }) {
  for (let row = top; row < bottom; row++) {
    for (let column = left; column < right; column++) {
      const corner = (2 * row * wide + 2 * column) * channels, below = corner + wide * channels;
      const place = (row * width + column) * channels;
      for (let c = 0; c < channels; c++) {
        output[place + c] = Math.max(input[corner + c], input[corner + channels + c],
          input[below + c], input[below + channels + c]);
      }
    }
  }
}

function dense({ shape: [units], weights }, input, old, sums) {
  for (let n = 0; n < input.length; n++) {
    const value = old ? input[n] - old[n] : input[n];
    if (value === 0) continue;
    addTimes(sums, 0, weights, n * units, units, value);
  }
}

function softmax(logits) {
  const largest = Math.max(...logits), powers = Array.from(logits, (z) => Math.exp(z - largest));
  const sum = powers.reduce(add);
  return Float32Array.from(powers, (power) => power / sum);
}

/** Return how unlike the data set an image is, as fashion_cnn.unlikeness does; 0 if unknown. */
export function unlikenessOf(judge, image) {
  return judge ? 2 / (1 + Math.exp(-run(judge, image).logits[0])) : 0;
}

/** Return what a layer takes in: the image, or the output of the layer before. */
export function inputOf(result, index) {
  return index === 0 ? result.image : result.layers[index - 1].output;
}

/** Work out one cell of a convolution: for each channel the nine values, weights and their sum.
 *  Values beyond the edge are null: padding. */
export function convolutionTerms(model, result, index, row, column, filter) {
  const layer = model.layers[index], input = inputOf(result, index), bias = layer.biases[filter];
  const [height, width, count] = layer.input, filters = layer.shape[2], nine = [...Array(9).keys()];
  const channels = Array.from({ length: count }, (_, c) => {
    const values = nine.map((n) => {
      const y = row + Math.floor(n / 3) - 1, x = column + n % 3 - 1;
      const isInside = y >= 0 && y < height && x >= 0 && x < width;
      return isInside ? input[(y * width + x) * count + c] : null;
    });
    const weights = nine.map((n) => layer.weights[(n * count + c) * filters + filter]);
    const products = values.map((value, n) => (value ?? 0) * weights[n]);
    return { values, weights, products, sum: products.reduce(add, 0) };
  });
  const sum = channels.map((channel) => channel.sum).reduce(add, 0);
  return { channels, sum, bias, output: Math.max(sum + bias, 0) };
}

/** Work out one cell of a pooling layer: its four values, and which is the largest. */
export function poolingTerms(model, result, index, row, column, channel) {
  const [, width, channels] = model.layers[index].input, input = inputOf(result, index);
  const values = [0, 1, 2, 3].map((n) => (
    input[((2 * row + (n >> 1)) * width + 2 * column + n % 2) * channels + channel]));
  const largest = indexOfLargest(values);
  return { values, largest, output: values[largest] };
}

/** Work out one unit of a dense layer: each input times its weight, strongest first. */
export function denseTerms(model, result, index, unit) {
  const { shape: [units], weights, biases } = model.layers[index];
  const all = Array.from(inputOf(result, index), (value, input) => {
    const weight = weights[input * units + unit];
    return { input, value, weight, product: value * weight };
  });
  const sum = all.reduce((total, { product }) => total + product, 0), bias = biases[unit];
  const terms = all.filter(({ product }) => product !== 0);
  terms.sort((a, b) => Math.abs(b.product) - Math.abs(a.product));
  return { terms, sum, bias, total: sum + bias };
}

/** Return the cell of the last maps that a number of the flattened row comes from. */
export function unflattened(model, n) {
  const [, width, count] = model.layers.findLast(({ kind }) => kind === "pool").shape;
  return { channel: n % count, ...cellOf(Math.floor(n / count), width) };
}

/** Return the cell of the layer before (-1 is the image) that raises a cell most; null if none
 *  does. */
export function strongestBefore(model, result, { layer, channel, row, column }) {
  const { kind } = model.layers[layer], before = { layer: layer - 1, row: 0, column: 0 };
  if (kind === "flatten") return { ...before, ...unflattened(model, channel) };
  if (kind === "dropout") return { ...before, channel };
  if (kind === "pool") {
    const { largest } = poolingTerms(model, result, layer, row, column, channel);
    const { row: down, column: right } = cellOf(largest, 2);
    return { ...before, channel, row: 2 * row + down, column: 2 * column + right };
  }
  if (kind === "dense") {
    const term = denseTerms(model, result, layer, channel).terms.find(({ product }) => product > 0);
    return term ? { ...before, channel: term.input } : null;
  }
  const { channels } = convolutionTerms(model, result, layer, row, column, channel);
  const source = indexOfLargest(channels.map(({ sum }) => sum));
  const { sum, products } = channels[source];
  const { row: down, column: right } = cellOf(indexOfLargest(products), 3);
  const place = { row: row + down - 1, column: column + right - 1 };
  return sum > 0 ? { ...before, ...place, channel: source } : null;
}

/** Follow a cell back to the image, always to what raises it most. */
export function strongestPath(model, result, cell) {
  const path = [cell];
  while (path.at(-1)?.layer >= 0) path.push(strongestBefore(model, result, path.at(-1)));
  return path.filter(Boolean);
}

/** Return the window of a cell in the layer before, cut at its edge. */
export function windowOf({ kind, input }, row, column) {
  return cut(kind === "pool"
    ? { top: 2 * row, left: 2 * column, bottom: 2 * row + 2, right: 2 * column + 2 }
    : { top: row - 1, left: column - 1, bottom: row + 2, right: column + 2 }, input);
}

/** Return the part of the image that a cell of a layer depends on. */
export function receptiveField(model, index, row, column) {
  let field = { top: row, left: column, bottom: row + 1, right: column + 1 };
  for (const layer of model.layers.slice(0, index + 1).reverse()) {
    if (!["conv", "pool"].includes(layer.kind)) continue;
    const { top, left } = windowOf(layer, field.top, field.left);
    const { bottom, right } = windowOf(layer, field.bottom - 1, field.right - 1);
    field = { top, left, bottom, right };
  }
  return field;
}

/** Return the cells of a square of an odd side around a pixel of the image. */
export function squareAround({ row, column }, side = 7) {
  const half = side >> 1;
  return cut({
    top: row - half, left: column - half, bottom: row + half + 1, right: column + half + 1,
  });
}

/** Return the mean grey of a garment: of the pixels that are not black. */
export function meanGrey(image) {
  const seen = image.filter((value) => value > 0);
  return seen.length ? seen.reduce(add) / seen.length : 0;
}

/** Return an image with a square of its garment's mean grey around a pixel, and the square. */
export function covered(image, middle, grey = meanGrey(image)) {
  const hidden = new Float32Array(image), square = squareAround(middle);
  for (let y = square.top; y < square.bottom; y++) {
    hidden.fill(grey, y * SIDE + square.left, y * SIDE + square.right);
  }
  return { image: hidden, square };
}

/** Measure how much a grey patch around each pixel of a row lowers a class's probability, as
 *  fashion_cnn.inside.occlusion_map does. */
export function occludedRow(model, result, label, row) {
  const grey = meanGrey(result.image), whole = result.layers.at(-1).output[label];
  return Float32Array.from({ length: SIDE }, (_, column) => {
    const { image, square } = covered(result.image, { row, column }, grey);
    return whole - run(model, image, result, square).layers.at(-1).output[label];
  });
}
