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
 *  Returns {image, layers: [{name, shape, output}], logits}. With `base`, what run returned for an
 *  image that differs only inside `changed` ({top, left, bottom, right}, ends excluded), only the
 *  cells are computed that depend on the difference. */
export function run(model, image, base = null, changed = null) {
  let input = Float32Array.from(image), region = changed ?? EVERYTHING;
  const result = { image: input, layers: [], logits: null };
  model.layers.forEach((layer, index) => {
    let output;
    if (layer.kind === "conv" || layer.kind === "pool") {
      region = reached(layer, region);
      const before = base?.layers[index].output;
      output = before ? Float32Array.from(before) : new Float32Array(sizeOf(layer.shape));
      (layer.kind === "conv" ? convolve : pool)(layer, input, output, region);
    } else if (layer.kind === "dense") {
      const sums = dense(layer, input);
      const isLast = index === model.layers.length - 1;
      if (isLast) result.logits = sums;
      output = isLast ? softmax(sums) : sums.map((sum) => Math.max(sum, 0));
    } else {
      output = input; // Flatten keeps the order, and Dropout acts in training only
    }
    result.layers.push({ name: layer.name, shape: layer.shape, output });
    input = output;
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

function convolve({ input: [height, width, channels], shape: [, , filters], weights, biases },
  input, output, { top, left, bottom, right }) {
  const sums = new Float64Array(filters);
  for (let row = top; row < bottom; row++) {
    for (let column = left; column < right; column++) {
      for (let f = 0; f < filters; f++) sums[f] = biases[f];
      for (let i = 0; i < 3; i++) {
        const y = row + i - 1;
        if (y < 0 || y >= height) continue; // padding "same": zeros add nothing
        for (let j = 0; j < 3; j++) {
          const x = column + j - 1;
          if (x < 0 || x >= width) continue;
          const cell = (y * width + x) * channels;
          let weight = (3 * i + j) * channels * filters;
          for (let c = 0; c < channels; c++, weight += filters) {
            const value = input[cell + c];
            if (value === 0) continue; // most cells, after ReLU
            for (let f = 0; f < filters; f++) sums[f] += value * weights[weight + f];
          }
        }
      }
      const place = (row * width + column) * filters;
      for (let f = 0; f < filters; f++) output[place + f] = sums[f] > 0 ? sums[f] : 0;
    }
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

function dense({ shape: [units], weights, biases }, input) {
  const sums = Float64Array.from(biases);
  for (let n = 0; n < input.length; n++) {
    const value = input[n];
    if (value === 0) continue;
    const first = n * units;
    for (let u = 0; u < units; u++) sums[u] += value * weights[first + u];
  }
  return Float32Array.from(sums);
}

function softmax(logits) {
  const largest = Math.max(...logits), powers = Array.from(logits, (z) => Math.exp(z - largest));
  const sum = powers.reduce(add);
  return Float32Array.from(powers, (power) => power / sum);
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
  return { channels, sum, bias, total: sum + bias, output: Math.max(sum + bias, 0) };
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

/** Return an image with a black square around a pixel, and the square itself. */
export function covered(image, middle, patch) {
  const hidden = Float32Array.from(image), square = squareAround(middle, patch);
  for (let y = square.top; y < square.bottom; y++) {
    hidden.fill(0, y * SIDE + square.left, y * SIDE + square.right);
  }
  return { image: hidden, square };
}

/** Measure how much a black patch around each pixel lowers a class's probability, as
 *  fashion_cnn.inside.occlusion_map does. Yields after each pixel that had to be computed. */
export function* occlusion(model, result, label, patch) {
  const drops = new Float32Array(SIDE * SIDE);
  const whole = result.layers.at(-1).output[label];
  for (let pixel = 0; pixel < drops.length; pixel++) {
    const { image, square } = covered(result.image, cellOf(pixel, SIDE), patch);
    if (image.every((value, n) => value === result.image[n])) continue; // black covers black
    drops[pixel] = whole - run(model, image, result, square).layers.at(-1).output[label];
    yield drops;
  }
  return drops;
}
