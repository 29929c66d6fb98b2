"use strict";

// What lies behind the point on the map: grid, axes, and the test images as dots or, without them, decoded digits.

const COLOURS = data.colours;                // of the digits
const N_TILES = 15;                          // along a side of the map: decoded digits, or the cells in which dots are counted

const map = $("map"), background = document.createElement("canvas");
let side = 0, centre = [0, 0], reach = 4;                            // reach: from the centre to an edge

const fromLeft = a => ((a - centre[0]) / reach + 1) / 2 * side;      // in pixels
const fromTop = b => ((centre[1] - b) / reach + 1) / 2 * side;
const cssColour = name => getComputedStyle(document.documentElement).getPropertyValue(name);

function fitView() {                                                 // to the dots of the first model, at all epochs
  const model = models[0];
  [centre, reach] = [[0, 0], 4];
  if (!model?.means) return;
  const n_z = model.sizes.z;
  model.dots = new Float32Array(2 * digits.length);
  for (let i = 0; i < digits.length; i++) model.dots.set(toMap(model, model.means, i * n_z), 2 * i);
  const least = [Infinity, Infinity], most = [-Infinity, -Infinity];
  for (const dots of [model.dots, ...model.film?.frames ?? []]) {
    dots.forEach((value, i) => {
      least[i % 2] = Math.min(least[i % 2], value);
      most[i % 2] = Math.max(most[i % 2], value);
    });
  }
  centre = [0, 1].map(direction => (least[direction] + most[direction]) / 2);
  reach = 0.53 * Math.max(most[0] - least[0], most[1] - least[1], 1);
  // One dimension leaves the height free: a row for each digit, 0 at the top.
  if (n_z === 1) digits.forEach((digit, i) => { model.dots[2 * i + 1] = (4.5 - digit) / 5.5 * reach; });
}

function axisNames({ sizes, means }) {       // of the map; one dimension has no second
  if (sizes.z > 2 && means) return ["PC 1", "PC 2"];
  return sizes.z === 1 ? ["z1"] : ["z1", "z2"];
}

function drawBackground() {                  // once for each size, colour scheme, model and epoch
  const scale = window.devicePixelRatio || 1, pen = background.getContext("2d"), model = models[0];
  side = map.clientWidth;
  map.width = map.height = background.width = background.height = Math.round(side * scale);
  if (!side || !model) return;
  pen.scale(scale, scale);
  if (!model.means) drawManifold(pen, model);
  const steps = [1, 2, 5, 10, 20, 50, 100], step = steps.find(step => 2 * reach / step <= 10) ?? reach / 2;
  const [across, down] = centre.map(middle => Array.from({ length: Math.floor(2 * reach / step) + 1 }, (_, i) =>
    (Math.ceil((middle - reach) / step) + i) * step).filter(value => value <= middle + reach));
  const [horizontal, vertical] = axisNames(model);
  Object.assign(pen, { strokeStyle: cssColour("--line"), lineWidth: 1 });
  across.forEach(a => pen.strokeRect(fromLeft(a), -1, 0, side + 2));
  if (vertical) down.forEach(b => pen.strokeRect(-1, fromTop(b), side + 2, 0));
  if (model.means) drawDots(pen, shownDots(model));
  drawPrior(pen, model);
  if (model.means) labelClusters(pen, shownDots(model));
  across.filter(a => fromLeft(a) < side - 60).forEach(a => drawLabel(pen, a, fromLeft(a) + 3, side - 5));
  drawLabel(pen, horizontal, side - 30, side - 5);
  if (!vertical) return;
  down.filter(b => fromTop(b) > 35 && fromTop(b) < side - 20).forEach(b => drawLabel(pen, b, 4, fromTop(b) - 4));
  drawLabel(pen, vertical, 4, 14);
}

function drawLabel(pen, text, left, bottom, font = "12px") {         // readable on dots, lines and digits
  Object.assign(pen, { font: `${font} system-ui, sans-serif`, lineWidth: 3, lineJoin: "round", strokeStyle: cssColour("--paper"),
                       fillStyle: cssColour("--ink") });
  pen.strokeText(text, left, bottom);
  pen.fillText(text, left, bottom);
}

function drawDots(pen, dots) {
  pen.globalAlpha = 0.75;
  for (let i = 0; i < digits.length; i++) {
    pen.fillStyle = COLOURS[digits[i]];
    pen.fillRect(fromLeft(dots[2 * i]) - 1.25, fromTop(dots[2 * i + 1]) - 1.25, 2.5, 2.5);
  }
  pen.globalAlpha = 1;
}

// Each digit stands where its dots are densest, as in `_label_clusters` of vae_graph/plot.py: some colours are hard to
// tell apart, and the means of digits that mix would coincide.
function labelClusters(pen, dots) {
  const counts = COLOURS.map(() => new Uint16Array(N_TILES ** 2)), size = side / N_TILES;
  digits.forEach((digit, i) => {
    const [column, row] = [fromLeft(dots[2 * i]), fromTop(dots[2 * i + 1])].map(place => Math.floor(place / size));
    counts[digit][row * N_TILES + column]++;
  });
  counts.forEach((own, digit) => {
    const most = Math.max(...own), cell = own.indexOf(most);
    if (!most) return;
    counts.forEach(other => { other[cell] = 0; });                   // one label in each
    drawLabel(pen, digit, (cell % N_TILES + 0.5) * size - 6, (Math.floor(cell / N_TILES) + 0.5) * size + 7, "bold 20px");
  });
}

function drawPrior(pen, model) {             // N(0, I) at one and two standard deviations
  const [a, b] = toMap(model, new Float64Array(model.sizes.z)), unit = side / (2 * reach);
  Object.assign(pen, { strokeStyle: cssColour("--ink"), lineWidth: 1.5 });
  pen.setLineDash([5, 4]);
  for (const radius of [1, 2]) {
    pen.beginPath();
    if (model.sizes.z > 1) pen.arc(fromLeft(a), fromTop(b), radius * unit, 0, 2 * Math.PI);
    else for (const left of [-radius, radius]) [-1, side + 1].forEach((top, i) => pen[i ? "lineTo" : "moveTo"](fromLeft(left), top));
    pen.stroke();
  }
  pen.setLineDash([]);
}

function drawManifold(pen, model) {          // where there are no test images to show as dots
  model.manifold ??= decodeManifold(model);  // which takes too long to be repeated at every step of a resize
  pen.globalAlpha = 0.6;
  pen.drawImage(model.manifold, 0, 0, side, side);
  pen.globalAlpha = 1;
}

function decodeManifold(model) {
  const tile = digitCanvas(), all = element("canvas", { width: 28 * N_TILES, height: 28 * N_TILES });
  for (let row = 0; row < N_TILES; row++) {
    for (let column = 0; column < N_TILES; column++) {
      const at = [column, N_TILES - 1 - row].map((i, direction) => centre[direction] + reach * ((2 * i + 1) / N_TILES - 1));
      paint(tile, decode(model, toZ(model, at)), "");
      all.getContext("2d").drawImage(tile, 28 * column, 28 * row);
    }
  }
  return all;
}
