"use strict";

// On the map: the point, the pins, and what is said and drawn about them.

const SHOWN_DIMENSIONS = 10;                 // in the text, and with a slider each
const N_WALK = 10;

// Each model's `z` is decoded; the first one's is at `point` on the map. A pin is a z of the first model.
let point = [0, 0], pins = [], samples = [], ellipse = null;         // of q(z|X)
let waiting = false;

function nearest({ means, z }) {             // [number of the test image whose mean is the nearest, its distance]
  const n_z = z.length, n = (means?.length ?? 0) / n_z;
  let best = -1, least = Infinity;
  for (let i = 0; i < n; i++) {
    let sum = 0;
    for (let j = 0; j < n_z; j++) sum += (means[i * n_z + j] - z[j]) ** 2;
    if (sum < least) [best, least] = [i, sum];
  }
  return [best, Math.sqrt(least)];
}

function drawFrame() {
  waiting = false;
  if (!side || !models.length) return;       // without a model the map is hidden
  // At an earlier epoch the dots are not where the nearest was looked for.
  const [found, distance] = isEarlier(models[0]) ? [-1] : nearest(models[0]);
  drawMarks(found);
  models.forEach(model => paint(model.digit, decode(model, model.z), `Digit decoded from ${describe(model.z)}`));
  $("readout").textContent = models.map(model => `${labelled(model)}${describe(model.z)}`).join("\n");
  showNearest(found, distance);
}

function drawMarks(found) {
  const scale = map.width / side, pen = map.getContext("2d"), ink = cssColour("--ink"), paper = cssColour("--paper");
  pen.setTransform(1, 0, 0, 1, 0, 0);
  pen.clearRect(0, 0, map.width, map.height);
  pen.drawImage(background, 0, 0);
  pen.setTransform(scale, 0, 0, scale, 0, 0);
  const strokeOn = colour => {               // with an edge that sets it off from dots and digits
    for (const [strokeStyle, lineWidth] of [[paper, 4], [colour, 2]]) {
      Object.assign(pen, { strokeStyle, lineWidth });
      pen.stroke();
    }
  };
  const disc = ([a, b], radius, colour) => {
    pen.beginPath();
    pen.arc(fromLeft(a), fromTop(b), radius, 0, 2 * Math.PI);
    strokeOn(colour);
    pen.fillStyle = colour;
    pen.fill();
  };
  const ends = pins.map(z => toMap(models[0], z));
  if (ends.length === 2) {
    pen.beginPath();
    ends.forEach(([a, b]) => pen.lineTo(fromLeft(a), fromTop(b)));
    strokeOn(ink);
  }
  samples.forEach(sample => disc(sample, 1, ink));
  if (found >= 0) disc(shownDots(models[0]).subarray(2 * found, 2 * found + 2), 3, COLOURS[digits[found]]);
  if (ellipse) {
    const { centre: [a, b], radii, angle } = ellipse, unit = side / (2 * reach);
    for (const deviations of [1, 2]) {
      pen.beginPath();
      pen.ellipse(fromLeft(a), fromTop(b), ...radii.map(radius => deviations * radius * unit), -angle, 0, 2 * Math.PI);
      strokeOn(cssColour("--accent"));
    }
  }
  ends.forEach((end, i) => {
    disc(end, 4, ink);
    drawLabel(pen, i + 1, fromLeft(end[0]) + 7, fromTop(end[1]) - 5, "bold 14px");
  });
  pen.beginPath();
  pen.arc(fromLeft(point[0]), fromTop(point[1]), 7, 0, 2 * Math.PI);
  strokeOn(ink);
}

function showNearest(found, distance) {
  $("of-nearest").hidden = found < 0 || !images;
  if ($("of-nearest").hidden) return;
  const name = `test image ${found}, ${digitName(digits[found])}`;
  paint($("nearest"), image(found), `The nearest: ${name}`);
  $("about-nearest").textContent = `nearest: ${name}, at a distance of ${distance.toFixed(2)}`;
}

const listed = values => Array.from(values, value => value.toFixed(2).replace(/^-(?=[0.]+$)/, "")).join(", ");
const describe = z => `z = (${listed(z.slice(0, SHOWN_DIMENSIONS))}${z.length > SHOWN_DIMENSIONS ? ", ..." : ""})`;

const digitName = digit => `${digit === 8 ? "an" : "a"} ${digit}`;

function showPins() {                        // the digit of one pin, or the walk from it to the other
  const [from, to] = pins, n = to ? N_WALK : pins.length;
  $("unpin").disabled = $("of-walk").hidden = !n;
  $("walk-note").textContent = to ? "the walk from the first pin to the second, decoded" : "the first pin, decoded";
  $("walk").replaceChildren(...Array.from({ length: n }, (_, i) => {
    const canvas = digitCanvas(), part = i / (N_WALK - 1);
    paint(canvas, decode(models[0], to ? from.map((value, j) => value + part * (to[j] - value)) : from), `step ${i + 1}`);
    return canvas;
  }));
}

function moveTo(a, b) {
  const within = (value, middle) => Math.min(middle + reach, Math.max(middle - reach, value));
  point = [within(a, centre[0]), within(b, centre[1])];
  models.forEach(model => { model.z = toZ(model, point); });
  showSliders();
  requestFrame();
}

function moveToZ(codes) {                    // one for each model
  models.forEach((model, i) => { model.z = Float64Array.from(codes[i]); });
  if (models.length) point = toMap(models[0], models[0].z);
  showSliders();
  requestFrame();
}

function requestFrame() {
  if (waiting) return;
  waiting = true;
  requestAnimationFrame(drawFrame);
}

function pin() {
  pins = [...pins, models[0].z.slice()].slice(-2);
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
