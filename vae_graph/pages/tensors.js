"use strict";

// Tensors, { shape, data }: the elements row by row, in an array of the data type. None is changed after it is made.

const ARRAYS = { float32: Float32Array, int32: Int32Array, bool: Uint8Array, string: Array, resource: Array };

const sizeOf = shape => shape.reduce((size, n) => size * n, 1);
const scalar = ({ data }) => data[0];
const vector = numbers => ({ shape: [numbers.length], data: Int32Array.from(numbers) });

class TensorError extends Error {}

// ---- Broadcasting: sizes are compared from the last axis; 1 fits any other.

function broadcastShape(a, b) {
  const length = Math.max(a.length, b.length), size = (shape, i) => shape[i + shape.length - length] ?? 1;
  return Array.from({ length }, (_, i) => {
    if (size(a, i) === size(b, i) || size(b, i) === 1) return size(a, i);
    if (size(a, i) === 1) return size(b, i);
    throw new TensorError(`Incompatible shapes: [${a}] vs. [${b}]`);
  });
}

// For each element of `to`, the place of the one in `shape` that is broadcast to it.
function sources(shape, to) {
  const steps = [];
  for (let i = to.length - 1, step = 1; i >= 0; i--) {
    const size = shape[i + shape.length - to.length] ?? 1;
    steps[i] = size === 1 ? 0 : step;
    step *= size;
  }
  return Int32Array.from({ length: sizeOf(to) }, (_, place) => {
    let source = 0;
    for (let i = to.length - 1; i >= 0; i--) {
      source += place % to[i] * steps[i];
      place = Math.floor(place / to[i]);
    }
    return source;
  });
}

function broadcast({ shape, data }, to) {
  if (data.length === sizeOf(to)) return data;
  if (data.length === 1) return new data.constructor(sizeOf(to)).fill(data[0]);
  return data.constructor.from(sources(shape, to), source => data[source]);
}

// ---- From functions of numbers to functions of tensors.

const elementwise = f => ([{ shape, data }]) => ({ shape, data: data.map(f) });

const binary = (f, Type) => ([a, b]) => {
  const shape = broadcastShape(a.shape, b.shape), [x, y] = [broadcast(a, shape), broadcast(b, shape)];
  const data = new (Type ?? x.constructor)(x.length);
  for (let i = 0; i < data.length; i++) data[i] = f(x[i], y[i]);
  return { shape, data };
};

const reduction = (f, start, finish = result => result) => ([{ shape, data }, { data: axes }], { keep_dims }) => {
  const reduced = new Set(Array.from(axes, axis => axis < 0 ? axis + shape.length : axis));
  const kept = shape.map((size, axis) => reduced.has(axis) ? 1 : size);
  const results = new Float64Array(sizeOf(kept)).fill(start), places = sources(kept, shape);
  for (let i = 0; i < data.length; i++) results[places[i]] = f(results[places[i]], data[i]);
  return { shape: keep_dims ? kept : shape.filter((_, axis) => !reduced.has(axis)),
           data: data.constructor.from(results, result => finish(result, data.length / results.length)) };
};

// ---- Matrices.

function transposed({ shape: [rows, columns], data }) {
  const result = new Float32Array(data.length);
  for (let i = 0; i < rows; i++) for (let j = 0; j < columns; j++) result[j * rows + i] = data[i * columns + j];
  return { shape: [columns, rows], data: result };
}

function product(a, b) {
  const [rows, inner] = a.shape, [other, columns] = b.shape;
  if (inner !== other) throw new TensorError(`Matrix size-incompatible: In[0]: [${a.shape}], In[1]: [${b.shape}]`);
  const data = new Float32Array(rows * columns), sums = new Float64Array(columns);
  for (let i = 0; i < rows; i++) {
    sums.fill(0);
    for (let k = 0; k < inner; k++) {
      const factor = a.data[i * inner + k], row = k * columns;
      if (factor !== 0) for (let j = 0; j < columns; j++) sums[j] += factor * b.data[row + j];
    }
    data.set(sums, i * columns);
  }
  return { shape: [rows, columns], data };
}

// ---- Slices: the shape, and the place of each element in what is sliced.

function slice(shape, bounds, { begin_mask, end_mask }) {
  const [begin, end, strides] = bounds.map(({ data }) => data);
  const ranges = shape.map((size, axis) => {
    const from = begin_mask >> axis & 1 ? 0 : begin[axis], to = end_mask >> axis & 1 ? size : Math.min(end[axis], size);
    const length = Math.max(0, Math.ceil((to - from) / strides[axis]));
    return Array.from({ length }, (_, i) => from + i * strides[axis]);
  });
  const places = ranges.reduce((found, range, axis) =>
    found.flatMap(place => range.map(i => place * shape[axis] + i)), [0]);
  return { shape: ranges.map(range => range.length), places };
}

// ---- Random numbers: any two of seed, draw and stream that differ give others (the generator is sfc32).

function randomNumbers(seed, draw, stream) {
  let [a, b, c, counter] = [seed, draw, stream, 1];
  const next = () => {
    const result = a + b + counter++ | 0;
    a = b ^ b >>> 9;
    b = c + (c << 3) | 0;
    c = (c << 21 | c >>> 11) + result | 0;
    return (result >>> 0) / 2 ** 32;
  };
  for (let i = 0; i < 15; i++) next();
  return next;
}
