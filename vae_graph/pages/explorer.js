"use strict";

// The page as a whole: what is drawn when, and what the events do.

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
  $("main").hidden = !models.length;
  showModels();
  fitView();
  drawBackground();
  buildSliders();
  moveTo(...point);
  showPins();
  showEncoded();
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
  if (event.key === "Escape") unpin();
  if (!direction) return;
  event.preventDefault();                    // the page must not scroll
  const length = event.shiftKey ? 0.01 : 0.1;
  moveTo(point[0] + length * direction[0], point[1] + length * direction[1]);
  rememberPlace();
}

async function start() {
  digits = bytes(data.digits ?? "");
  for (const id of ["legend", "of-nearest", "of-number"]) $(id).hidden = !digits.length;
  $("legend").append(...COLOURS.map((colour, number) => {
    const entry = element("li", { textContent: number });
    entry.style.setProperty("--colour", colour);
    return entry;
  }));
  for (const { name, sizes, weights, means } of data.models) {
    addModel({ name, sizes, facts: "built in, in float16", variables: new Map(), means: means && float16(means),
               weights: Object.fromEntries(Object.entries(weights).map(([key, value]) => [key, float16(value)])) });
  }
  const dots = digits.length
    ? `Every dot is one of ${digits.length.toLocaleString("en")} test images of ${data.data}, at the mean of its q(z|X).`
    : "Drop a checkpoint on this page, or choose its files: the map shows the digits that its decoder draws.";
  $("introduction").textContent = `${dots} Point anywhere, with mouse, finger or arrow keys: the decoder draws the digit of `
    + "that z. A click or Enter pins the point; two pins show the walk between them.";
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
  if (Number.isInteger(number) && number >= 0 && number < digits.length) {
    see(image(number), `test image ${number}`);
  }
});
$("unpin").addEventListener("click", unpin);
$("files").addEventListener("change", event => {
  open([...event.target.files]);
  event.target.value = "";                   // so that the same files can be chosen again
});
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
