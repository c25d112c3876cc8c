/* The forward pass of the network in plain JavaScript, and the sums behind every single number.
 *
 * A model is what readModel returns. Maps are Float32Arrays in the order of Keras: row by row, cell by
 * cell, all channels of a cell together. Sums are made in 64 bits and rounded once, at the end. */

const HALF = { 1: 5.960464477539063e-8, 31: Infinity }; // the smallest half float; its infinite exponent

/** Read the weights of a manifest (see app/page_model.py); half floats become 32-bit floats. */
export function readModel(manifest, buffer) {
  const read = manifest.dtype === "float16" ? halves : floats;
  let input = [28, 28, 1];
  const layers = manifest.layers.map((layer) => {
    const [weights, biases] = layer.weights.map(({ shape, offset }) => (
      read(buffer, offset, shape.reduce((a, b) => a * b))));
    const described = { ...layer, input, weights, biases };
    input = layer.shape;
    return described;
  });
  return { ...manifest, layers };
}

function floats(buffer, offset, length) {
  const view = new DataView(buffer, offset, 4 * length);
  return Float32Array.from({ length }, (_, n) => view.getFloat32(4 * n, true));
}

function halves(buffer, offset, length) {
  const view = new DataView(buffer, offset, 2 * length);
  return Float32Array.from({ length }, (_, n) => {
    const bits = view.getUint16(2 * n, true);
    const sign = bits >> 15 ? -1 : 1, exponent = bits >> 10 & 31, fraction = bits & 1023;
    if (exponent === 0) return sign * fraction * HALF[1];
    if (exponent === 31) return fraction ? NaN : sign * HALF[31];
    return sign * 2 ** (exponent - 15) * (1 + fraction / 1024);
  });
}

/** Compute every layer for an image of 784 numbers in [0, 1].
 *
 *  Returns {image, layers: [{name, shape, output}], logits}. With `base`, what run returned for an
 *  image that differs only inside `changed` ({top, left, bottom, right}, ends excluded), only the
 *  cells are computed that depend on the difference. */
export function run(model, image, base = null, changed = null) {
  let input = Float32Array.from(image), region = changed ?? { top: 0, left: 0, bottom: 28, right: 28 };
  const result = { image: input, layers: [], logits: null };
  model.layers.forEach((layer, index) => {
    let output;
    if (layer.kind === "conv" || layer.kind === "pool") {
      region = reached(layer, region);
      const before = base?.layers[index].output;
      output = before ? Float32Array.from(before) : new Float32Array(size(layer.shape));
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

const size = (shape) => shape.reduce((a, b) => a * b);

/** Return which cells of a layer depend on a region of the layer before. */
function reached({ kind, shape: [height, width] }, { top, left, bottom, right }) {
  if (kind === "pool") {
    return {
      top: top >> 1, left: left >> 1,
      bottom: Math.min((bottom + 1) >> 1, height), right: Math.min((right + 1) >> 1, width),
    };
  }
  return {
    top: Math.max(top - 1, 0), left: Math.max(left - 1, 0),
    bottom: Math.min(bottom + 1, height), right: Math.min(right + 1, width),
  };
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
  const sum = powers.reduce((a, b) => a + b);
  return Float32Array.from(powers, (power) => power / sum);
}

/** Return the number of the likeliest class. */
export function likeliest(probabilities) {
  return probabilities.indexOf(Math.max(...probabilities));
}

/** Return what a layer takes in: the image, or the output of the layer before. */
export function inputOf(result, index) {
  return index === 0 ? result.image : result.layers[index - 1].output;
}

/** Work out one cell of a convolution: for each channel the nine values, weights and their sum.
 *  Values beyond the edge are null: padding. */
export function convolutionTerms(model, result, index, row, column, filter) {
  const { input: [height, width, channels], shape: [, , filters], weights, biases } = model.layers[index];
  const input = inputOf(result, index), perChannel = [];
  for (let c = 0; c < channels; c++) {
    const channel = { values: [], weights: [], products: [], sum: 0 };
    for (let n = 0; n < 9; n++) {
      const y = row + Math.floor(n / 3) - 1, x = column + n % 3 - 1;
      const isInside = y >= 0 && y < height && x >= 0 && x < width;
      const value = isInside ? input[(y * width + x) * channels + c] : null;
      const weight = weights[(n * channels + c) * filters + filter];
      channel.values.push(value);
      channel.weights.push(weight);
      channel.products.push((value ?? 0) * weight);
      channel.sum += (value ?? 0) * weight;
    }
    perChannel.push(channel);
  }
  const sum = perChannel.reduce((total, { sum: part }) => total + part, 0);
  const bias = biases[filter];
  return { channels: perChannel, sum, bias, total: sum + bias, output: Math.max(sum + bias, 0) };
}

/** Work out one cell of a pooling layer: its four values, and which is the largest. */
export function poolingTerms(model, result, index, row, column, channel) {
  const { input: [, width, channels] } = model.layers[index];
  const input = inputOf(result, index);
  const values = [0, 1, 2, 3].map((n) => (
    input[((2 * row + (n >> 1)) * width + 2 * column + n % 2) * channels + channel]));
  const output = Math.max(...values);
  return { values, largest: values.indexOf(output), output };
}

/** Work out one unit of a dense layer: each input times its weight, strongest first. */
export function denseTerms(model, result, index, unit) {
  const { shape: [units], weights, biases } = model.layers[index];
  const input = inputOf(result, index);
  const terms = [];
  let sum = 0;
  for (let n = 0; n < input.length; n++) {
    const product = input[n] * weights[n * units + unit];
    sum += product;
    if (product !== 0) terms.push({ input: n, value: input[n], weight: weights[n * units + unit], product });
  }
  terms.sort((a, b) => Math.abs(b.product) - Math.abs(a.product));
  return { terms, sum, bias: biases[unit], total: sum + biases[unit] };
}

/** Return the window of a cell in the layer before, which may reach beyond the edge. */
export function windowOf(layer, row, column) {
  if (layer.kind === "pool") {
    return { top: 2 * row, left: 2 * column, bottom: 2 * row + 2, right: 2 * column + 2 };
  }
  return { top: row - 1, left: column - 1, bottom: row + 2, right: column + 2 };
}

/** Return the part of the image that a cell of a layer depends on, cut at the image's edge. */
export function receptiveField(model, index, row, column) {
  let field = { top: row, left: column, bottom: row + 1, right: column + 1 };
  for (let n = index; n >= 0; n--) {
    if (!["conv", "pool"].includes(model.layers[n].kind)) continue;
    const first = windowOf(model.layers[n], field.top, field.left);
    const last = windowOf(model.layers[n], field.bottom - 1, field.right - 1);
    field = { top: first.top, left: first.left, bottom: last.bottom, right: last.right };
  }
  return {
    top: Math.max(field.top, 0), left: Math.max(field.left, 0),
    bottom: Math.min(field.bottom, 28), right: Math.min(field.right, 28),
  };
}

/** Return an image with a black square of an odd side around a pixel, and the square itself. */
export function covered(image, row, column, patch = 7) {
  const half = patch >> 1, hidden = Float32Array.from(image);
  const square = {
    top: Math.max(row - half, 0), left: Math.max(column - half, 0),
    bottom: Math.min(row + half + 1, 28), right: Math.min(column + half + 1, 28),
  };
  for (let y = square.top; y < square.bottom; y++) {
    hidden.fill(0, y * 28 + square.left, y * 28 + square.right);
  }
  return { image: hidden, square };
}

/** Measure how much a black patch around each pixel lowers a class's probability, pixel by pixel, as
 *  fashion_cnn.inside.occlusion_map does. Yields after each pixel that had to be computed. */
export function* occlusion(model, result, label, patch = 7) {
  const drops = new Float32Array(784);
  const whole = result.layers.at(-1).output[label];
  for (let pixel = 0; pixel < 784; pixel++) {
    const { image, square } = covered(result.image, Math.floor(pixel / 28), pixel % 28, patch);
    if (image.every((value, n) => value === result.image[n])) continue; // black covers black
    drops[pixel] = whole - run(model, image, result, square).layers.at(-1).output[label];
    yield { drops, pixel };
  }
  return drops;
}
