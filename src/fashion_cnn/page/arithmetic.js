/* Convolution and pooling on one small picture, as fashion_cnn.inside.arithmetic and Keras compute
 * them. A picture is an array of rows; nothing here knows of the page. */

import { add, cellOf } from "./kit.js";

/** How many positions a window takes along `size` cells. */
export function outputSize(size, window, stride, padding) {
  return padding === "same" ? Math.ceil(size / stride) : Math.floor((size - window) / stride) + 1;
}

/** How many cells of padding come before and after; an odd one comes after, as in TensorFlow. */
export function paddedCells(size, window, stride, padding) {
  if (padding === "valid") return [0, 0];
  const positions = outputSize(size, window, stride, padding);
  const total = Math.max((positions - 1) * stride + window - size, 0);
  return [Math.floor(total / 2), Math.ceil(total / 2)];
}

/** What lies under the window at one position: its cells, row by row. */
export function cellsUnder(picture, at, { window, stride, padding }) {
  const [top] = paddedCells(picture.length, window, stride, padding);
  const [left] = paddedCells(picture[0].length, window, stride, padding);
  return Array.from({ length: window * window }, (_, k) => {
    const step = cellOf(k, window);
    const row = at.row * stride - top + step.row, column = at.column * stride - left + step.column;
    const value = picture[row]?.[column];
    return { row, column, value: value ?? 0, isPadding: value === undefined };
  });
}

/** The products of a convolution at one position, their sum, and the sum with the bias. */
export function convolveAt(picture, at, kernel, bias, options) {
  const cells = cellsUnder(picture, at, options);
  const products = cells.map((cell, k) => cell.value * kernel[k]);
  const sum = products.reduce(add, 0);
  return { cells, products, sum, output: sum + bias };
}

/** The largest or the mean value under the window; padding takes no part, as in Keras. */
export function poolAt(picture, at, kind, options) {
  const cells = cellsUnder(picture, at, options);
  const values = cells.filter((cell) => !cell.isPadding).map((cell) => cell.value);
  const sum = values.reduce(add, 0);
  const output = kind === "max" ? Math.max(...values) : sum / values.length;
  return { cells, sum, count: values.length, output };
}

/** The value at every position, as an array of rows. */
function everywhere(picture, { window, stride, padding }, valueAt) {
  const [rows, columns] = [picture.length, picture[0].length].map((size) =>
    outputSize(size, window, stride, padding));
  return Array.from({ length: rows }, (_, row) =>
    Array.from({ length: columns }, (__, column) => valueAt({ row, column }).output));
}

export const convolve = (picture, kernel, bias, options) =>
  everywhere(picture, options, (at) => convolveAt(picture, at, kernel, bias, options));

export const pool = (picture, kind, options) =>
  everywhere(picture, options, (at) => poolAt(picture, at, kind, options));
