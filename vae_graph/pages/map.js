"use strict";

// The map of the latent space: its dots, the point, the pins, and the sliders.

const COLOURS = data.colours;                // of the digits
const NEAR = 8;                              // pixels within which a dot is named
const SHOWN_DIMENSIONS = 10;                 // with a slider each
const N_WALK = 10, N_TILES = 15;

const map = $("map"), background = document.createElement("canvas");
let point = [0, 0], pins = [], samples = [];                         // on the map
let waiting = false, side = 0, centre = [0, 0], reach = 3;           // reach: from the centre to an edge

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
  const scale = window.devicePixelRatio || 1, pen = background.getContext("2d"), model = models[0];
  side = map.clientWidth;
  map.width = map.height = background.width = background.height = Math.round(side * scale);
  pen.scale(scale, scale);
  if (model && !model.means) drawManifold(pen, model);
  const steps = [1, 2, 5, 10, 20, 50, 100], step = steps.find(step => 2 * reach / step <= 10) ?? reach / 2;
  const [across, down] = centre.map(middle => Array.from({ length: Math.floor(2 * reach / step) + 1 }, (_, i) =>
    (Math.ceil((middle - reach) / step) + i) * step).filter(value => value <= middle + reach));
  pen.strokeStyle = cssColour("--line");
  across.forEach(a => pen.strokeRect(fromLeft(a), -1, 0, side + 2));
  down.forEach(b => pen.strokeRect(-1, fromTop(b), side + 2, 0));
  if (model?.means) drawDots(pen, model);
  const [horizontal, vertical] = model?.sizes.z > 2 ? ["PC 1", "PC 2"] : ["z1", "z2"];
  across.filter(a => fromLeft(a) < side - 60).forEach(a => drawLabel(pen, a, fromLeft(a) + 3, side - 5));
  down.filter(b => fromTop(b) > 35 && fromTop(b) < side - 20).forEach(b => drawLabel(pen, b, 4, fromTop(b) - 4));
  drawLabel(pen, horizontal, side - 30, side - 5);
  drawLabel(pen, vertical, 4, 14);
}

const cssColour = name => getComputedStyle(document.documentElement).getPropertyValue(name);

function drawLabel(pen, text, left, bottom) {                        // readable on dots, lines and digits
  Object.assign(pen, { font: "12px system-ui, sans-serif", lineWidth: 3, lineJoin: "round", strokeStyle: cssColour("--paper"),
                       fillStyle: cssColour("--ink") });
  pen.strokeText(text, left, bottom);
  pen.fillText(text, left, bottom);
}

function drawDots(pen, { dots }) {
  pen.globalAlpha = 0.75;
  for (let i = 0; i < digits.length; i++) {
    pen.fillStyle = COLOURS[digits[i]];
    pen.fillRect(fromLeft(dots[2 * i]) - 1.25, fromTop(dots[2 * i + 1]) - 1.25, 2.5, 2.5);
  }
  pen.globalAlpha = 1;
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
  const ink = cssColour("--ink");
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
  const near = found < 0 ? "no test image here" : `test image ${found}: ${digitName(digits[found])}`;
  showReadout(digits.length ? `${at}\n${near}` : at);
  paintOrClear("nearest", found >= 0 && images && image(found), `Test image ${found}, ${digitName(digits[found])}`);
}

const describe = ({ z }) => `z = (${Array.from(z.slice(0, SHOWN_DIMENSIONS), value => value.toFixed(2)).join(", ")}`
  + `${z.length > SHOWN_DIMENSIONS ? ", ..." : ""})`;

const digitName = digit => `${digit === 8 ? "an" : "a"} ${digit}`;

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
  $("unpin").disabled = !pins.length;
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

function unpin() {
  pins = [];
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
