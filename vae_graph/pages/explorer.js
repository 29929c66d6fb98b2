"use strict";

const $ = id => document.getElementById(id);
const data = JSON.parse($("numbers").textContent);
const COLOURS = data.colours;                // of the digits
const NEAR = 8;                              // pixels within which a dot is named
const SHOWN_DIMENSIONS = 10;                 // with a slider each
const N_SAMPLES = 10, N_WALK = 10, N_TILES = 15;
const MAX_FILE_SIZE = 2 ** 31;
const EPS = Array.from({ length: N_SAMPLES * 1000 }, gaussian);      // fixed, so that samples move with mean and std

const map = $("map"), sketch = $("sketch"), background = document.createElement("canvas");
const models = [];                           // at most two; the map is the first one's
let images = null, digits = new Uint8Array(0);
let point = [0, 0], pins = [], samples = [];                         // on the map
let waiting = false, side = 0, centre = [0, 0], reach = 3;           // reach: from the centre to an edge

// ---- The numbers in the page.

function bytes(base64) {
  return Uint8Array.from(atob(base64), character => character.charCodeAt(0));
}

const HALVES = Float32Array.from({ length: 1 << 16 }, (_, bits) => {                // every float16
  const sign = bits >> 15 ? -1 : 1, exponent = bits >> 10 & 31, fraction = bits & 1023;
  if (exponent === 31) return fraction ? NaN : sign * Infinity;
  return sign * (exponent ? (1 + fraction / 1024) * 2 ** (exponent - 15) : fraction * 2 ** -24);
});

const float16 = base64 => Float32Array.from(new Uint16Array(bytes(base64).buffer), bits => HALVES[bits]);

async function gunzip(compressed) {
  const stream = new Blob([compressed]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

function gaussian() {
  return Math.sqrt(-2 * Math.log(1 - Math.random())) * Math.cos(2 * Math.PI * Math.random());
}

const image = number => Float32Array.from(images.subarray(784 * number, 784 * (number + 1)), value => value / 255);

// ---- Models.

function addModel(model) {                                           // { name, facts, sizes, weights, variables, means }
  models.splice(1, models.length === 2 ? 1 : 0);
  models.push(model);
  model.plane = latentPlane(model.means, model.sizes.z);
  model.z = new Float64Array(model.sizes.z);
  if (!model.means && images) encodeImages(model);
  redrawAll();
}

const letter = model => "AB"[models.indexOf(model)];

function removeModel(model) {
  models.splice(models.indexOf(model), 1);
  redrawAll();
}

async function encodeImages(model) {                                 // all in the page, in parts of about a frame
  const means = new Float32Array(digits.length * model.sizes.z);
  for (let i = 0; i < digits.length; i++) {
    means.set(encode(model, image(i)).mean, i * model.sizes.z);
    if (i % 20 === 19) {
      await new Promise(resolve => setTimeout(resolve));
      if (!models.includes(model)) return;
      if (i % 500 === 499) showReadout(`${i + 1} of ${digits.length} test images encoded`);
    }
  }
  model.means = means;
  model.plane = latentPlane(means, model.sizes.z);
  redrawAll();
}

function toZ({ plane, sizes }, [a, b]) {                             // the code of a point of the map
  return Float64Array.from({ length: sizes.z }, (_, i) => plane.origin[i] + a * plane.axes[0][i] + b * plane.axes[1][i]);
}

function toMap({ plane }, z, at = 0) {                               // the point of a code, or of one in an array of codes
  const deviation = plane.origin.map((value, i) => z[at + i] - value);
  return plane.axes.map(axis => dot(axis, deviation));
}

// ---- Reading checkpoints that are dropped or chosen.

async function open(files) {
  $("error").textContent = "";
  try {
    const contents = {};
    for (const file of files) {
      if (file.size > MAX_FILE_SIZE) throw new CheckpointError(`${file.name} of ${file.size} bytes`);
      if (!file.name.endsWith(".meta")) contents[file.name] = new Uint8Array(await file.arrayBuffer());
    }
    const { name, format, variables } = readCheckpoint(contents), { sizes, weights } = networkIn(variables);
    if (sizes.input !== 784) throw new CheckpointError(`a network for images of ${sizes.input} pixels`);
    const step = variables.get("Variable")?.values?.[0];
    addModel({ name, sizes, weights, variables, facts: `format ${format}, step ${step ?? "unknown"}` });
  } catch (error) {
    const found = error instanceof CheckpointError ? error.message : "a file that cannot be read";
    $("error").textContent = `Expected a checkpoint of this network, found: ${found}`;
  }
}

function showModels() {
  const copies = (parent, make) => $(parent).replaceChildren(...models.map(make));
  copies("decoded", model => {
    model.digit = digitCanvas();
    return captioned(model.digit, models.length > 1 ? letter(model) : "");
  });
  copies("reconstructed", model => {
    model.reconstruction = digitCanvas();
    return captioned(model.reconstruction, `reconstruction${models.length > 1 ? ` by ${letter(model)}` : ""}`);
  });
  copies("models", model => {
    const { input, encoder, z, decoder } = model.sizes;
    const remove = element("button", { type: "button", textContent: "Remove", onclick: () => removeModel(model) });
    const title = element("p", { textContent: `${letter(model)}: ${model.name}, ${model.facts}, n_input ${input}, n_hidden_encoder `
      + `${encoder}, n_z ${z}, n_hidden_decoder ${decoder} ` });
    title.append(remove);
    const details = element("details");
    details.append(element("summary", { textContent: `${model.variables.size} variables, all checksums match` }),
                   variableTable(model.variables));
    const entry = element("div");
    entry.append(title, ...(model.variables.size ? [details] : []));
    return entry;
  });
}

function variableTable(variables) {
  const table = element("table"), names = [...variables.keys()].sort();
  const row = (cells, kind) => {
    const line = element("tr");
    line.append(...cells.map(textContent => element(kind, { textContent })));
    return line;
  };
  table.append(row(["variable", "shape", "type"], "th"), ...names.map(name => {
    const { shape, type } = variables.get(name);
    return row([name, shape.join(" x ") || "scalar", type], "td");
  }));
  return table;
}

function element(name, properties = {}) {
  return Object.assign(document.createElement(name), properties);
}

function digitCanvas() {
  const canvas = element("canvas", { width: 28, height: 28, className: "digit" });
  canvas.setAttribute("role", "img");
  return canvas;
}

function captioned(canvas, text) {
  const figure = element("figure");
  figure.append(canvas, element("figcaption", { textContent: text }));
  return figure;
}

function paint(canvas, pixels, description) {                        // pixels from 0 to 1
  const content = new ImageData(28, 28);
  pixels.forEach((gray, i) => content.data.set([255 * gray, 255 * gray, 255 * gray, 255], 4 * i));
  canvas.getContext("2d").putImageData(content, 0, 0);
  canvas.setAttribute("aria-label", description);
}

// ---- The map.

const fromLeft = a => ((a - centre[0]) / reach + 1) / 2 * side;      // in pixels
const fromTop = b => ((centre[1] - b) / reach + 1) / 2 * side;

function fitView() {                                                 // to the dots of the first model
  const model = models[0];
  [centre, reach] = [[0, 0], 3];
  if (!model?.means) return;
  const n_z = model.sizes.z, n = model.means.length / n_z;
  model.dots = new Float32Array(2 * n);
  const least = [Infinity, Infinity], most = [-Infinity, -Infinity];
  for (let i = 0; i < n; i++) {
    toMap(model, model.means, i * n_z).forEach((value, direction) => {
      model.dots[2 * i + direction] = value;
      least[direction] = Math.min(least[direction], value);
      most[direction] = Math.max(most[direction], value);
    });
  }
  centre = [0, 1].map(direction => (least[direction] + most[direction]) / 2);
  reach = 0.53 * Math.max(most[0] - least[0], most[1] - least[1], 1);
}

function drawBackground() {                  // once for each size, colour scheme and model; a frame copies it
  const scale = window.devicePixelRatio || 1, style = getComputedStyle(document.documentElement);
  side = map.clientWidth;
  map.width = map.height = background.width = background.height = Math.round(side * scale);
  const pen = background.getContext("2d"), model = models[0];
  pen.scale(scale, scale);
  if (model && !model.means) drawManifold(pen, model);
  pen.strokeStyle = style.getPropertyValue("--line");
  pen.fillStyle = style.getPropertyValue(model && !model.means ? "--ink" : "--faint");
  pen.font = "12px system-ui, sans-serif";
  for (let a = Math.ceil(centre[0] - reach); a <= centre[0] + reach; a++) {
    pen.strokeRect(fromLeft(a), -1, 0, side + 2);
    if (fromLeft(a) < side - 40) pen.fillText(a, fromLeft(a) + 3, side - 5);
  }
  for (let b = Math.ceil(centre[1] - reach); b <= centre[1] + reach; b++) {
    pen.strokeRect(-1, fromTop(b), side + 2, 0);
    if (fromTop(b) > 35 && fromTop(b) < side - 20) pen.fillText(b, 4, fromTop(b) - 4);
  }
  const [horizontal, vertical] = model?.sizes.z > 2 ? ["PC 1", "PC 2"] : ["z1", "z2"];
  pen.fillText(horizontal, side - pen.measureText(horizontal).width - 4, side - 5);
  pen.fillText(vertical, 4, 14);
  if (!model?.means) return;
  pen.globalAlpha = 0.75;
  for (let i = 0; i < digits.length; i++) {
    pen.fillStyle = COLOURS[digits[i]];
    pen.fillRect(fromLeft(model.dots[2 * i]) - 1.25, fromTop(model.dots[2 * i + 1]) - 1.25, 2.5, 2.5);
  }
}

function drawManifold(pen, model) {          // where there are no test images to show as dots
  const tile = document.createElement("canvas"), width = side / N_TILES;
  tile.width = tile.height = 28;
  pen.globalAlpha = 0.6;
  for (let row = 0; row < N_TILES; row++) {
    for (let column = 0; column < N_TILES; column++) {
      const at = [column, N_TILES - 1 - row].map((i, direction) => centre[direction] + reach * ((2 * i + 1) / N_TILES - 1));
      paint(tile, decode(model, toZ(model, at)), "");
      pen.drawImage(tile, column * width, row * width, width, width);
    }
  }
  pen.globalAlpha = 1;
}

function nearest([a, b]) {                   // the image whose dot is near the point, or -1
  const dots = models[0]?.means ? models[0].dots : [];
  let best = -1, least = (2 * reach * NEAR / side) ** 2;
  for (let i = 0; i < dots.length / 2; i++) {
    const distance = (dots[2 * i] - a) ** 2 + (dots[2 * i + 1] - b) ** 2;
    if (distance < least) [best, least] = [i, distance];
  }
  return best;
}

function drawFrame() {
  waiting = false;
  if (!side) return;                         // without a model the map is hidden
  const scale = map.width / side, pen = map.getContext("2d"), found = nearest(point);
  const ink = getComputedStyle(document.documentElement).getPropertyValue("--ink");
  pen.setTransform(1, 0, 0, 1, 0, 0);
  pen.clearRect(0, 0, map.width, map.height);
  pen.drawImage(background, 0, 0);
  pen.setTransform(scale, 0, 0, scale, 0, 0);
  const circle = ([a, b], radius, colour, isFilled) => {
    pen.beginPath();
    pen.arc(fromLeft(a), fromTop(b), radius, 0, 2 * Math.PI);
    pen[isFilled ? "fillStyle" : "strokeStyle"] = colour;
    isFilled ? pen.fill() : pen.stroke();
  };
  pen.lineWidth = 2;
  if (pins.length === 2) {
    pen.strokeStyle = ink;
    pen.beginPath();
    pins.forEach(([a, b]) => pen.lineTo(fromLeft(a), fromTop(b)));
    pen.stroke();
  }
  pins.forEach(pin => circle(pin, 5, ink, true));
  samples.forEach(sample => circle(sample, 3, ink, true));
  circle(point, 7, ink, false);
  if (found >= 0) circle(models[0].dots.subarray(2 * found, 2 * found + 2), 4, COLOURS[digits[found]], true);

  const at = models.length ? describe(models[0]) : "";
  models.forEach(model => paint(model.digit, decode(model, model.z), `Digit decoded from ${describe(model)}`));
  const near = found < 0 ? "no test image here" : `test image ${found}: a ${digits[found]}`;
  showReadout(digits.length ? `${at}\n${near}` : at);
  paintOrClear("nearest", found >= 0 && images && image(found), `Test image ${found}, a ${digits[found]}`);
}

const describe = ({ z }) => `z = (${Array.from(z.slice(0, SHOWN_DIMENSIONS), value => value.toFixed(2)).join(", ")}`
  + `${z.length > SHOWN_DIMENSIONS ? ", ..." : ""})`;

function showReadout(text) {
  $("readout").textContent = text;
}

function paintOrClear(id, pixels, description) {
  if (pixels) return paint($(id), pixels, description);
  $(id).getContext("2d").clearRect(0, 0, 28, 28);
  $(id).setAttribute("aria-label", "empty");
}

function showPins() {                        // the digits of the pins, and the walk from one to the other
  const ends = models.length ? pins.map(pin => toZ(models[0], pin)) : [];
  for (const i of [0, 1]) paintOrClear(`pin-${i + 1}`, ends[i] && decode(models[0], ends[i]), `Digit of pin ${i + 1}`);
  $("walk").replaceChildren(...(ends.length === 2 ? Array.from({ length: N_WALK }, (_, i) => {
    const canvas = digitCanvas(), part = i / (N_WALK - 1);
    paint(canvas, decode(models[0], ends[0].map((from, j) => from + part * (ends[1][j] - from))), `step ${i + 1}`);
    return canvas;
  }) : []));
}

function moveTo(a, b) {
  const within = (value, middle) => Math.min(middle + reach, Math.max(middle - reach, value));
  point = [within(a, centre[0]), within(b, centre[1])];
  models.forEach(model => { model.z = toZ(model, point); });
  showSliders();
  requestFrame();
}

function requestFrame() {
  if (waiting) return;
  waiting = true;
  requestAnimationFrame(drawFrame);
}

function pin() {
  pins = [...pins, [...point]].slice(-2);
  pinsChanged();
}

function pinsChanged() {
  showPins();
  rememberPlace();
  requestFrame();
}

// ---- Sliders, for n_z other than 2: the dimensions whose means vary most.

function buildSliders() {
  const model = models[0];
  $("sliders").replaceChildren();
  if (!model || model.sizes.z === 2) return;
  const n_z = model.sizes.z, variances = Array.from({ length: n_z }, (_, i) => variance(model.means, i, n_z));
  const order = [...variances.keys()].sort((i, j) => variances[j] - variances[i]).slice(0, SHOWN_DIMENSIONS);
  for (const dimension of order) {
    const slider = element("input", { type: "range", min: -4, max: 4, step: 0.01 });
    slider.dataset.dimension = dimension;
    slider.addEventListener("input", () => {
      models.forEach(({ z }) => { if (dimension < z.length) z[dimension] = slider.valueAsNumber; });
      point = toMap(models[0], models[0].z);
      requestFrame();
    });
    const label = element("label", { textContent: `z${dimension + 1}` });
    label.append(slider);
    $("sliders").append(label);
  }
  showSliders();
}

function variance(codes, dimension, n_z) {
  if (!codes) return 0;
  let sum = 0, squares = 0;
  for (let i = dimension; i < codes.length; i += n_z) {
    sum += codes[i];
    squares += codes[i] ** 2;
  }
  const n = codes.length / n_z;
  return squares / n - (sum / n) ** 2;
}

function showSliders() {
  for (const slider of $("sliders").querySelectorAll("input")) slider.value = models[0].z[slider.dataset.dimension];
}

// ---- Drawing a digit.

const WIDTH = 22;                                                    // of the pen, on a field of 280 x 280
const stroke = element("canvas", { width: 280, height: 280 });       // what was drawn, white on nothing
let last = null, drawn = [280, 280, 0, 0];                           // the box around it: left, top, right, bottom

function draw(event) {
  if (event.type === "pointermove" && !last) return;
  const box = sketch.getBoundingClientRect(), scale = 280 / box.width;
  const here = [(event.clientX - box.left) * scale, (event.clientY - box.top) * scale];
  const pen = stroke.getContext("2d");
  Object.assign(pen, { lineWidth: WIDTH, lineCap: "round", strokeStyle: "#ffffff" });
  pen.beginPath();
  pen.moveTo(...(last ?? here));
  pen.lineTo(...here);
  pen.stroke();
  last = here;
  drawn = [...[0, 1].map(i => Math.max(Math.min(drawn[i], here[i] - WIDTH / 2), 0)),
           ...[0, 1].map(i => Math.min(Math.max(drawn[i + 2], here[i] + WIDTH / 2), 280))];
  sketch.getContext("2d").drawImage(stroke, 0, 0);
  encodeShown(centredDigit(), "the drawing");
}

// As MNIST was made: the box around the digit scaled to 20 x 20, its centre of mass in the middle of 28 x 28.
function centredDigit() {
  const [left, top, right, bottom] = drawn;
  const width = right - left, height = bottom - top, scale = 20 / Math.max(width, height);
  const place = (dx, dy) => {
    const small = element("canvas", { width: 28, height: 28 }), pen = small.getContext("2d", { willReadFrequently: true });
    pen.imageSmoothingQuality = "high";
    pen.drawImage(stroke, left, top, width, height, 14 - width * scale / 2 + dx, 14 - height * scale / 2 + dy,
                  width * scale, height * scale);
    const { data: pixels } = pen.getImageData(0, 0, 28, 28);
    return Float32Array.from({ length: 784 }, (_, i) => pixels[4 * i + 3] / 255);
  };
  const pixels = place(0, 0), mass = pixels.reduce((sum, value) => sum + value, 0);
  const middle = [i => i % 28, i => Math.floor(i / 28)].map(
    coordinate => pixels.reduce((sum, value, i) => sum + value * (coordinate(i) + 0.5), 0) / mass);
  return place(14 - middle[0], 14 - middle[1]);
}

function encodeShown(pixels, what) {
  paint($("seen"), pixels, `The encoder's input: ${what}`);
  const lines = [];
  samples = [];
  models.forEach((model, i) => {
    const { mean, std } = encode(model, pixels), two = values => Array.from(values, value => value.toFixed(2)).join(", ");
    if (i === 0) {
      samples = Array.from({ length: N_SAMPLES }, (_, sample) =>
        toMap(model, mean.map((value, j) => value + std[j] * EPS[(sample * 97 + j) % EPS.length])));
      point = toMap(model, mean);
    }
    model.z = Float64Array.from(mean);
    paint(model.reconstruction, decode(model, mean), `Reconstruction of ${what}`);
    lines.push(`${models.length > 1 ? `${letter(model)}: ` : ""}mean ${two(mean)}; std ${two(std)}`);
  });
  $("encoded").textContent = lines.join("\n");
  showSliders();
  requestFrame();
}

function clearSketch() {
  for (const canvas of [stroke, sketch, $("seen")]) canvas.getContext("2d").clearRect(0, 0, canvas.width, canvas.height);
  models.forEach(({ reconstruction }) => reconstruction.getContext("2d").clearRect(0, 0, 28, 28));
  $("encoded").textContent = $("number").value = "";
  drawn = [280, 280, 0, 0];
  samples = [];
  requestFrame();
}

// ---- The place in the address: the point and the pins, on the map of any model.

function rememberPlace() {
  const places = [point, ...pins].map(place => place.map(value => value.toFixed(3)).join(","));
  history.replaceState(null, "", `#${places.join(";")}`);
}

function recallPlace() {
  const places = location.hash.slice(1).split(";").map(place => place.split(",").map(Number));
  if (!places.every(place => place.length === 2 && place.every(Number.isFinite))) return;
  pins = places.slice(1, 3);
  moveTo(...places[0]);
  showPins();
}

// ---- Everything together.

function redrawAll() {
  showModels();
  fitView();
  drawBackground();
  buildSliders();
  moveTo(...point);
  showPins();
  for (const id of ["decoded", "map"]) $(id).hidden = !models.length;
}

function follow(event) {
  const box = map.getBoundingClientRect();
  const across = (event.clientX - box.left - map.clientLeft) / side;
  const down = (event.clientY - box.top - map.clientTop) / side;
  moveTo(centre[0] + (2 * across - 1) * reach, centre[1] - (2 * down - 1) * reach);
}

function onKey(event) {
  const direction = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowDown: [0, -1], ArrowUp: [0, 1] }[event.key];
  if (event.key === "Enter") pin();
  if (event.key === "Escape") { pins = []; pinsChanged(); }
  if (!direction) return;
  event.preventDefault();                    // the page must not scroll
  const length = event.shiftKey ? 0.01 : 0.1;
  moveTo(point[0] + length * direction[0], point[1] + length * direction[1]);
  rememberPlace();
}

async function start() {
  digits = bytes(data.digits ?? "");
  $("legend").hidden = !digits.length;
  $("legend").append(...COLOURS.map((colour, number) => {
    const entry = element("li", { textContent: number });
    entry.style.setProperty("--colour", colour);
    return entry;
  }));
  for (const { name, sizes, weights, means } of data.models) {
    addModel({ name, sizes, facts: "built in, in float16", variables: new Map(), means: means && float16(means),
               weights: Object.fromEntries(Object.entries(weights).map(([key, value]) => [key, float16(value)])) });
  }
  $("introduction").textContent = digits.length
    ? `Every dot is one of ${digits.length.toLocaleString("en")} test images of ${data.data}, at the mean of its q(z|X). `
      + "Point anywhere, with mouse, finger or arrow keys: the decoder draws the digit of that z. A click pins the point; "
      + "two pins show the walk between them."
    : "Drop a checkpoint on this page: it shows its decoder's digits for every z.";
  redrawAll();
  recallPlace();
  if (data.images) images = await gunzip(bytes(data.images));
  $("number").max = digits.length - 1;
  $("number").disabled = !images;
  requestFrame();
}

map.addEventListener("pointermove", follow);
map.addEventListener("pointerdown", follow);
map.addEventListener("click", pin);
map.addEventListener("keydown", onKey);
for (const kind of ["pointerdown", "pointermove"]) sketch.addEventListener(kind, draw);
window.addEventListener("pointerup", () => { last = null; });
$("clear").addEventListener("click", clearSketch);
$("number").addEventListener("input", () => {
  const number = $("number").valueAsNumber;
  if (Number.isInteger(number) && number >= 0 && number < digits.length) encodeShown(image(number), `test image ${number}`);
});
$("files").addEventListener("change", event => open([...event.target.files]));
for (const kind of ["dragover", "dragleave", "drop"]) {
  window.addEventListener(kind, event => {
    event.preventDefault();
    document.body.classList.toggle("dropping", kind === "dragover");
    if (kind === "drop") open([...event.dataTransfer.files]);
  });
}
window.addEventListener("hashchange", recallPlace);
new ResizeObserver(() => { drawBackground(); drawFrame(); }).observe(map);
window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { drawBackground(); drawFrame(); });
start();
