"use strict";

// What each type of operation computes: a function of its inputs, the operation with its attributes, and the session.
// It returns a tensor, an array of tensors, or nothing.

const filled = (shape, type, f) => ({ shape: [...shape], data: ARRAYS[type].from({ length: sizeOf(shape) }, f) });
const add = binary((x, y) => x + y);

function read(handle, { variables }) {
  const name = scalar(handle);
  if (variables.has(name)) return variables.get(name);
  throw new TensorError(`Could not find variable ${name}. This could mean that the variable has been deleted. `
    + "In TF1, it can also mean the variable is uninitialized.");
}

function assign(handle, value, { variables }) {
  variables.set(scalar(handle), value);
}

const OPERATIONS = {
  Placeholder: (inputs, { name, outputs: [{ dtype, shape }] }) => {
    const type = dtype === "float32" ? "float" : dtype, sizes = shape.map(size => size ?? "?");
    throw new TensorError(`You must feed a value for placeholder tensor '${name}' with dtype ${type}`
      + (sizes.length ? ` and shape [${sizes}]` : ""));
  },
  PlaceholderWithDefault: ([value]) => value,
  Const: (inputs, { value: { shape, numbers }, outputs: [{ dtype }] }) =>
    filled(shape, dtype, (_, i) => numbers[numbers.length === 1 ? 0 : i]),
  Identity: ([x]) => x,
  NoOp: () => [],

  // Variables.
  VarHandleOp: (inputs, { name }) => ({ shape: [], data: [name] }),
  VarIsInitializedOp: ([handle], operation, { variables }) => filled([], "bool", () => variables.has(scalar(handle))),
  ReadVariableOp: ([handle], operation, session) => read(handle, session),
  AssignVariableOp: ([handle, value], operation, session) => assign(handle, value, session),
  AssignAddVariableOp: ([handle, value], operation, session) =>
    assign(handle, add([read(handle, session), value]), session),
  ResourceApplyAdam: ([handle, mHandle, vHandle, ...others], operation, session) => {
    const [beta1Power, beta2Power, rate, beta1, beta2, epsilon] = others.slice(0, 6).map(scalar);
    const [{ shape, data: old }, { data: m }, { data: v }] = [handle, mHandle, vHandle].map(one => read(one, session));
    const [newM, newV, result] = [m, v, old].map(array => new Float32Array(array.length)), gradient = others[6].data;
    const alpha = rate * Math.sqrt(1 - beta2Power) / (1 - beta1Power);
    for (let i = 0; i < old.length; i++) {
      newM[i] = m[i] + (gradient[i] - m[i]) * (1 - beta1);
      newV[i] = v[i] + (gradient[i] ** 2 - v[i]) * (1 - beta2);
      result[i] = old[i] - alpha * newM[i] / (Math.sqrt(newV[i]) + epsilon);
    }
    [handle, mHandle, vHandle].forEach((one, i) => assign(one, { shape, data: [result, newM, newV][i] }, session));
  },
  SaveV2: ([prefix, names, slices, ...tensors], operation, { files }) => {
    files.set(scalar(prefix), new Map(names.data.map((name, i) => [name, tensors[i]])));
  },
  RestoreV2: ([prefix, names], operation, { files }) => {
    const file = files.get(scalar(prefix));
    if (file) return names.data.map(name => file.get(name));
    throw new TensorError("Unsuccessful TensorSliceReader constructor: Failed to find any matching files for "
      + scalar(prefix));
  },

  // Random numbers.
  RandomUniform: ([{ data: shape }], operation, session) => filled(shape, "float32", session.random(operation)),
  RandomStandardNormal: ([{ data: shape }], operation, session) => {   // by the Box-Muller transform
    const uniform = session.random(operation);
    return filled(shape, "float32",
                  () => Math.sqrt(-2 * Math.log(1 - uniform())) * Math.cos(2 * Math.PI * uniform()));
  },

  // Arithmetic.
  AddV2: add,
  AddN: tensors => tensors.reduce((a, b) => add([a, b])),
  Sub: binary((x, y) => x - y),
  Mul: binary((x, y) => x * y),
  RealDiv: binary((x, y) => x / y),
  FloorMod: binary((x, y) => x - y * Math.floor(x / y)),
  Pow: binary((x, y) => x ** y),
  Minimum: binary((x, y) => Math.min(x, y)),
  Maximum: binary((x, y) => Math.max(x, y)),
  GreaterEqual: binary((x, y) => x >= y, Uint8Array),
  LessEqual: binary((x, y) => x <= y, Uint8Array),
  Neg: elementwise(x => -x),
  Log: elementwise(x => Math.log(x)),
  Square: elementwise(x => x * x),
  Reciprocal: elementwise(x => 1 / x),
  ZerosLike: elementwise(() => 0),
  SelectV2: tensors => {
    const shape = tensors.map(tensor => tensor.shape).reduce(broadcastShape);
    const [condition, x, y] = tensors.map(tensor => broadcast(tensor, shape));
    return { shape, data: x.map((value, i) => condition[i] ? value : y[i]) };
  },
  MatMul: ([a, b], { transpose_a, transpose_b }) =>
    product(transpose_a ? transposed(a) : a, transpose_b ? transposed(b) : b),

  // Activations, and their gradients as functions of what the activation returned.
  Elu: elementwise(x => x < 0 ? Math.expm1(x) : x),
  EluGrad: binary((gradient, y) => y < 0 ? gradient * (y + 1) : gradient),
  Sigmoid: elementwise(x => 1 / (1 + Math.exp(-x))),
  SigmoidGrad: binary((y, gradient) => gradient * y * (1 - y)),
  Softplus: elementwise(x => Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x)))),

  // Reductions.
  Sum: reduction((total, x) => total + x, 0),
  Mean: reduction((total, x) => total + x, 0, (total, n) => total / n),
  Prod: reduction((total, x) => total * x, 1),

  // Shapes.
  Shape: ([{ shape }]) => vector(shape),
  Reshape: ([{ data }, { data: sizes }]) => {
    const known = sizes.reduce((size, n) => n < 0 ? size : size * n, 1);
    const shape = Array.from(sizes, n => n < 0 ? data.length / known : n);
    if (sizeOf(shape) === data.length) return { shape, data };
    throw new TensorError(`Input to reshape is a tensor with ${data.length} values, `
      + `but the requested shape has ${known}`);
  },
  Fill: ([{ data: shape }, value]) => ({ shape: [...shape], data: broadcast(value, [...shape]) }),
  BroadcastTo: ([x, { data: shape }]) => ({ shape: [...shape], data: broadcast(x, [...shape]) }),
  Tile: ([x, { data: times }]) => {                            // in this graph only along axes of size 1
    const shape = x.shape.map((size, axis) => size * times[axis]);
    return { shape, data: broadcast(x, shape) };
  },
  BroadcastGradientArgs: tensors => {                          // the axes along which each was broadcast
    const [a, b] = tensors.map(({ data }) => [...data]), shape = broadcastShape(a, b);
    const axesOf = own => [...shape.keys()].filter(axis => (own[axis + own.length - shape.length] ?? 1) === 1);
    return [a, b].map(own => vector(`${a}` === `${b}` ? [] : axesOf(own)));
  },
  Range: inputs => {
    const [start, limit, delta] = inputs.map(scalar);
    return vector(Array.from({ length: Math.ceil((limit - start) / delta) }, (_, i) => start + i * delta));
  },
  DynamicStitch: tensors => {
    const n = tensors.length / 2, result = [];
    for (let i = 0; i < n; i++) tensors[i].data.forEach((place, j) => { result[place] = tensors[n + i].data[j]; });
    return vector(result);
  },
  GatherV2: ([{ data }, { shape, data: places }]) => ({ shape, data: data.constructor.from(places, i => data[i]) }),
  Cast: ([{ shape, data }], { DstT }) => ({ shape, data: ARRAYS[DstT].from(data) }),
  StridedSlice: ([x, ...bounds], operation) => {
    const { shape, places } = slice(x.shape, bounds, operation);
    return { shape, data: x.data.constructor.from(places, place => x.data[place]) };
  },
  StridedSliceGrad: ([{ data: whole }, begin, end, strides, gradient], operation) => {
    const shape = [...whole], data = new Float32Array(sizeOf(shape));
    slice(shape, [begin, end, strides], operation).places.forEach((place, i) => { data[place] = gradient.data[i]; });
    return { shape, data };
  },
};
