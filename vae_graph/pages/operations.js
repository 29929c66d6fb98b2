"use strict";

// What each type of operation computes: a function of its inputs, its attributes, and the session and operation for those
// that have a state. It returns a tensor, an array of tensors, or nothing.

const numbersOf = (shape, type, f) => ({ shape, data: ARRAYS[type].from({ length: sizeOf(shape) }, f) });
const read = (handle, session) => {
  const name = scalar(handle);
  if (!session.variables.has(name)) {
    throw new TensorError(`Could not find variable ${name}. This could mean that the variable has been deleted. In TF1, it can `
      + "also mean the variable is uninitialized.");
  }
  return session.variables.get(name);
};
const assign = (handle, value, session) => { session.variables.set(scalar(handle), value); };

const add = binary((x, y) => x + y);
const sum = reduction((total, x) => total + x, 0);

const OPERATIONS = {
  Placeholder: (inputs, attributes, session, { name, outputs: [{ dtype, shape }] }) => {
    throw new TensorError(`You must feed a value for placeholder tensor '${name}' with dtype ${dtype === "float32" ? "float" : dtype}`
      + (shape.length ? ` and shape [${shape.map(size => size ?? "?")}]` : ""));
  },
  PlaceholderWithDefault: ([value]) => value,
  Const: (inputs, { value: { shape, numbers } }, session, { outputs: [{ dtype }] }) =>
    numbersOf(shape, dtype, (_, i) => numbers[numbers.length === 1 ? 0 : i]),
  Identity: ([x]) => x,
  NoOp: () => [],

  // Variables.
  VarHandleOp: (inputs, attributes, session, { name }) => ({ shape: [], data: [name] }),
  VarIsInitializedOp: ([handle], attributes, session) => numbersOf([], "bool", () => session.variables.has(scalar(handle))),
  ReadVariableOp: ([handle], attributes, session) => read(handle, session),
  AssignVariableOp: ([handle, value], attributes, session) => assign(handle, value, session),
  AssignAddVariableOp: ([handle, value], attributes, session) => assign(handle, add([read(handle, session), value]), session),
  ResourceApplyAdam: ([handle, mHandle, vHandle, ...others], attributes, session) => {
    const { shape, data } = read(handle, session), [m, v] = [mHandle, vHandle].map(slot => read(slot, session).data);
    const [beta1Power, beta2Power, rate, beta1, beta2, epsilon] = others.slice(0, 6).map(scalar), gradient = others[6].data;
    const alpha = rate * Math.sqrt(1 - beta2Power) / (1 - beta1Power);
    const [newM, newV, result] = [m, v, data].map(array => new Float32Array(array.length));
    for (let i = 0; i < data.length; i++) {
      newM[i] = m[i] + (gradient[i] - m[i]) * (1 - beta1);
      newV[i] = v[i] + (gradient[i] ** 2 - v[i]) * (1 - beta2);
      result[i] = data[i] - alpha * newM[i] / (Math.sqrt(newV[i]) + epsilon);
    }
    assign(mHandle, { shape, data: newM }, session);
    assign(vHandle, { shape, data: newV }, session);
    assign(handle, { shape, data: result }, session);
  },
  SaveV2: ([prefix, names, slices, ...tensors], attributes, session) => {
    session.files.set(scalar(prefix), new Map(names.data.map((name, i) => [name, tensors[i]])));
  },
  RestoreV2: ([prefix, names], attributes, session) => {
    const file = session.files.get(scalar(prefix));
    if (!file) {
      throw new TensorError("Unsuccessful TensorSliceReader constructor: Failed to find any matching files for " + scalar(prefix));
    }
    return names.data.map(name => file.get(name));
  },

  // Random numbers.
  RandomUniform: ([shape], attributes, session, operation) => numbersOf([...shape.data], "float32", session.random(operation)),
  RandomStandardNormal: ([shape], attributes, session, operation) => {         // by Box and Muller
    const uniform = session.random(operation);
    return numbersOf([...shape.data], "float32",
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
  Minimum: binary(Math.min),
  Maximum: binary(Math.max),
  GreaterEqual: binary((x, y) => x >= y, Uint8Array),
  LessEqual: binary((x, y) => x <= y, Uint8Array),
  Neg: elementwise(x => -x),
  Log: elementwise(Math.log),
  Square: elementwise(x => x * x),
  Reciprocal: elementwise(x => 1 / x),
  ZerosLike: elementwise(() => 0),
  SelectV2: ([condition, x, y]) => {
    const shape = [condition, x, y].map(tensor => tensor.shape).reduce(broadcastShape);
    const [isX, ofX, ofY] = [condition, x, y].map(tensor => broadcast(tensor, shape));
    return { shape, data: ofX.map((value, i) => isX[i] ? value : ofY[i]) };
  },
  MatMul: ([a, b], { transpose_a, transpose_b }) => product(transpose_a ? transposed(a) : a, transpose_b ? transposed(b) : b),

  // Activations, and their gradients as functions of what the activation returned.
  Elu: elementwise(x => x < 0 ? Math.expm1(x) : x),
  EluGrad: binary((gradient, y) => y < 0 ? gradient * (y + 1) : gradient),
  Sigmoid: elementwise(x => 1 / (1 + Math.exp(-x))),
  SigmoidGrad: binary((y, gradient) => gradient * y * (1 - y)),
  Softplus: elementwise(x => Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x)))),

  // Reductions.
  Sum: sum,
  Prod: reduction((total, x) => total * x, 1),
  Mean: reduction((total, x) => total + x, 0, (total, n) => total / n),

  // Shapes.
  Shape: ([{ shape }]) => vector(shape),
  Reshape: ([{ data }, { data: sizes }]) => {
    const known = sizes.reduce((size, n) => n < 0 ? size : size * n, 1);
    const shape = Array.from(sizes, n => n < 0 ? data.length / known : n);
    if (sizeOf(shape) !== data.length) {
      throw new TensorError(`Input to reshape is a tensor with ${data.length} values, but the requested shape has ${known}`);
    }
    return { shape, data };
  },
  Fill: ([{ data: shape }, value]) => ({ shape: [...shape], data: broadcast(value, [...shape]) }),
  BroadcastTo: ([x, { data: shape }]) => ({ shape: [...shape], data: broadcast(x, [...shape]) }),
  Tile: ([x, { data: times }]) => {                                            // in this graph only along axes of size 1
    const shape = x.shape.map((size, axis) => size * times[axis]);
    return { shape, data: broadcast(x, shape) };
  },
  BroadcastGradientArgs: tensors => {                                          // the axes along which each was broadcast
    const [a, b] = tensors.map(({ data }) => [...data]), shape = broadcastShape(a, b);
    const axesOf = own => [...shape.keys()].filter(axis => (own[axis + own.length - shape.length] ?? 1) === 1);
    return [a, b].map(own => vector(`${a}` === `${b}` ? [] : axesOf(own)));
  },
  Range: ([start, limit, delta]) => vector(Array.from(
    { length: Math.ceil((scalar(limit) - scalar(start)) / scalar(delta)) }, (_, i) => scalar(start) + i * scalar(delta))),
  DynamicStitch: tensors => {
    const n = tensors.length / 2, result = [];
    tensors.slice(0, n).forEach(({ data: places }, i) => places.forEach((place, j) => { result[place] = tensors[n + i].data[j]; }));
    return vector(result);
  },
  GatherV2: ([{ data }, places]) => ({ shape: places.shape, data: data.constructor.from(places.data, place => data[place]) }),
  Cast: ([{ shape, data }], { DstT }) => ({ shape, data: ARRAYS[DstT].from(data) }),
  StridedSlice: ([x, begin, end, strides], { begin_mask, end_mask }) => {
    const { shape, places } = slice(x.shape, begin.data, end.data, strides.data, begin_mask, end_mask);
    return { shape, data: x.data.constructor.from(places, place => x.data[place]) };
  },
  StridedSliceGrad: ([{ data: whole }, begin, end, strides, gradient], { begin_mask, end_mask }) => {
    const shape = [...whole], { places } = slice(shape, begin.data, end.data, strides.data, begin_mask, end_mask);
    const data = new Float32Array(sizeOf(shape));
    places.forEach((place, i) => { data[place] = gradient.data[i]; });
    return { shape, data };
  },
};
