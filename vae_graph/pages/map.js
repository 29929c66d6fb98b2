"use strict";

// On the map: the point, the pins, and what is said and drawn about them.

const SHOWN_DIMENSIONS = 10;                 // in the text, and with a slider each
const N_WALK = 10;

// Each model's `z` is decoded; the first one's is at `point` on the map. A pin is a z of the first model.
let point = [0, 0], pins = [], samples = [];
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
  const scale = map.width / side, pen = map.getContext("2d"), [found, distance] = nearest(models[0]);
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
  const ends = pins.map(z => toMap(models[0], z));
  if (ends.length === 2) {
    pen.strokeStyle = ink;
    pen.beginPath();
    ends.forEach(([a, b]) => pen.lineTo(fromLeft(a), fromTop(b)));
    pen.stroke();
  }
  ends.forEach(end => circle(end, 5, ink, true));
  samples.forEach(sample => circle(sample, 2.5, ink, true));
  circle(point, 7, ink, false);
  if (found >= 0) circle(models[0].dots.subarray(2 * found, 2 * found + 2), 4, COLOURS[digits[found]], true);

  models.forEach(model => paint(model.digit, decode(model, model.z), `Digit decoded from ${describe(model.z)}`));
  const lines = models.map(model => `${labelled(model)}${describe(model.z)}`);
  if (found >= 0) lines.push(`nearest test image: ${found}, ${digitName(digits[found])}, at a distance of ${distance.toFixed(2)}`);
  $("readout").textContent = lines.join("\n");
  paintOrClear("nearest", found >= 0 && images && image(found), `Test image ${found}, ${digitName(digits[found])}`);
}

const describe = z => `z = (${Array.from(z.slice(0, SHOWN_DIMENSIONS), value => value.toFixed(2)).join(", ")}`
  + `${z.length > SHOWN_DIMENSIONS ? ", ..." : ""})`;

const digitName = digit => `${digit === 8 ? "an" : "a"} ${digit}`;

function paintOrClear(id, pixels, description) {
  if (pixels) return paint($(id), pixels, description);
  $(id).getContext("2d").clearRect(0, 0, 28, 28);
  $(id).setAttribute("aria-label", "empty");
}

function showPins() {                        // the digits of the pins, and the walk from one to the other
  for (const i of [0, 1]) paintOrClear(`pin-${i + 1}`, pins[i] && decode(models[0], pins[i]), `Digit of pin ${i + 1}`);
  $("unpin").disabled = !pins.length;
  $("of-walk").hidden = pins.length < 2;
  $("walk").replaceChildren(...(pins.length === 2 ? Array.from({ length: N_WALK }, (_, i) => {
    const canvas = digitCanvas(), part = i / (N_WALK - 1);
    paint(canvas, decode(models[0], pins[0].map((from, j) => from + part * (pins[1][j] - from))), `step ${i + 1}`);
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
