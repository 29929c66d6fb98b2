"use strict";

// What is fed, by its spec: a number for all elements, nested arrays, a text, "images", or "value", the value it had.

const MAX_FIELDS = 16, N_SHADES = 15;                          // N_SHADES: of a drawn image, beside black

const images = { pixels: null, first: 0, count: 4, drawn: null };              // pixels: of all test images, 0 to 255

const outputOf = name => producer(name).outputs[Number(name.split(":")[1])];

const imageSize = () => outputOf(data.names.X).shape[1];       // in pixels
const totalImages = () => images.pixels.length / imageSize();

function batch() {
  const size = imageSize();
  if (images.drawn) return { shape: [1, size], data: images.drawn };
  const start = size * images.first, numbers = images.pixels.subarray(start, start + size * images.count);
  return { shape: [numbers.length / size, size], data: Float32Array.from(numbers, pixel => pixel / 255) };
}

function shapeOf(spec) {                                       // of nested arrays; undefined if they are ragged
  if (!Array.isArray(spec)) return [];
  const [first, ...others] = spec.map(shapeOf);
  return first && others.every(other => `${other}` === `${first}`) ? [spec.length, ...first] : undefined;
}

const isText = name => outputOf(name).dtype === "string";

function fedTensor(name, { spec, kept }) {
  const { dtype, shape } = outputOf(name);
  if (isText(name)) return { shape: [], data: [spec] };
  if (spec === "value") return kept;
  if (spec === "images") return batch();
  if (Array.isArray(spec)) return { shape: shapeOf(spec), data: ARRAYS[dtype].from(spec.flat(Infinity)) };
  // The number of images is not known when the graph is built.
  const isBatch = shape && shape.slice(1).every(size => size !== null);
  const sizes = isBatch ? shape.map(size => size ?? batch().shape[0]) : kept?.shape ?? [];
  return { shape: sizes, data: new ARRAYS[dtype](sizeOf(sizes)).fill(spec) };
}

// A feed of a tensor as it is: its own value, if it has one, in a form that can be edited.
function newFeed(name, kept) {
  const { dtype, shape } = outputOf(name);
  if (name === data.names.X) return { spec: "images" };
  if (isText(name)) return { spec: kept ? scalar(kept) : "" };
  if (!kept) return { spec: shape?.length === 0 ? 1 : 0 };
  if (kept.shape.length === 0) return { spec: scalar(kept), kept };
  return { spec: kept.data.length <= MAX_FIELDS && dtype === "float32" ? nested(kept) : "value", kept };
}

function nested({ shape, data }) {
  if (!shape.length) return Number(data[0].toPrecision(4));
  const [length, ...rest] = shape, size = data.length / length;
  return Array.from({ length }, (_, i) => nested({ shape: rest, data: data.subarray(i * size, (i + 1) * size) }));
}

// ---- Fields and sliders. `changed` is called with a feed's new spec, and whether its fields must be built anew.

function editor(name, feed, changed) {
  const row = element("span", { className: "editor" }), ariaLabel = meaning(name);
  const title = `Feed 0 for ${name}`;
  const zero = spec => button("0", () => changed(spec, true), { title, ariaLabel: title });
  if (isText(name)) {
    row.append(element("input", { value: feed.spec, ariaLabel, onchange: event => changed(event.target.value) }));
  } else if (feed.spec === "images") {
    row.append(...imageFields(changed));
  } else if (feed.spec === "value") {
    row.append(`as it was, [${feed.kept.shape}] `, zero(0));
  } else {
    const bounds = name === data.names.keep_prob ? [0.05, 1] : [-3, 3];
    row.append(...numbersIn(feed.spec).map(([path, value]) => slider(
      path.length ? `${ariaLabel}[${path}]` : ariaLabel, value, bounds,
      number => changed(replaced(feed.spec, path, number)))));
    if (Array.isArray(feed.spec)) row.append(zero(zeroed(feed.spec)));
  }
  return row;
}

const numbersIn = (part, path = []) =>                         // each with its indices
  Array.isArray(part) ? part.flatMap((one, i) => numbersIn(one, [...path, i])) : [[path, part]];

const zeroed = part => Array.isArray(part) ? part.map(zeroed) : 0;

const replaced = (part, [i, ...rest], value) => i === undefined ? value : part.with(i, replaced(part[i], rest, value));

function slider(label, value, [min, max], changed) {
  const field = element("input", { type: "number", step: 0.05, value, ariaLabel: label });
  const bar = element("input", { type: "range", min, max, step: 0.05, value, ariaLabel: `${label}, slider` });
  const set = (source, other) => {
    if (!Number.isFinite(source.valueAsNumber)) return;
    other.value = source.value;
    changed(source.valueAsNumber);
  };
  bar.addEventListener("input", () => set(bar, field));
  field.addEventListener("input", () => set(field, bar));
  field.addEventListener("change", () => { if (!Number.isFinite(field.valueAsNumber)) field.value = bar.value; });
  const pair = element("span", { className: "pair" });
  pair.append(bar, field);
  return pair;
}

function imageFields(changed) {
  const size = imageSize(), total = totalImages();
  const draw = button("Draw", () => {
    images.drawn = images.drawn ? null : new Float32Array(size);
    changed("images", true);
  }, { ariaPressed: images.drawn !== null, title: "Feed an image that is drawn with the pointer" });
  if (images.drawn) return [sketch(changed), draw, button("Clear", () => {
    images.drawn = new Float32Array(size);
    changed("images", true);
  })];
  const number = (label, key, min, max) => element("input", {
    type: "number", value: images[key], min, max, ariaLabel: label, title: `From ${min} to ${max}`, onchange: ({ target }) => {
      images[key] = Math.min(Math.max(Math.round(target.valueAsNumber) || min, min), max);
      changed("images", true);
    } });
  return [number("Number of images", "count", 1, Math.min(N_DIGITS, total)), " from test image ",
          number("First test image", "first", 0, total - 1), ...(size === SIDE * SIDE ? [draw] : []),
          enlarged(batch(), "the images that are fed", 1)];
}

function sketch(changed) {
  const canvas = element("canvas", { width: SIDE, height: SIDE, className: "sketch" });
  let from = null;                                             // where the pointer was last
  const paint = () => paintGray(canvas, Array.from(images.drawn, level => 255 * level), "The drawn image");
  const draw = event => {
    const box = canvas.getBoundingClientRect();
    const to = [(event.clientX - box.left) / box.width * SIDE, (event.clientY - box.top) / box.height * SIDE];
    from ??= to;
    images.drawn = images.drawn.map((level, i) =>
      Math.max(level, shade(2 - distance([i % SIDE + 0.5, Math.floor(i / SIDE) + 0.5], from, to))));
    from = to;
    paint();
    changed("images");
  };
  onStrokes(canvas, draw, () => { from = null; });
  paint();
  return canvas;
}

const shade = level => Math.round(N_SHADES * Math.min(1, level)) / N_SHADES;

function distance([x, y], [x1, y1], [x2, y2]) {                // of a point from the line between two others
  const [dx, dy] = [x2 - x1, y2 - y1], share = ((x - x1) * dx + (y - y1) * dy) / (dx * dx + dy * dy || 1);
  const along = Math.min(Math.max(share, 0), 1);
  return Math.hypot(x - x1 - along * dx, y - y1 - along * dy);
}
