"use strict";

// The page as a whole: what is drawn when, and what the events do.

// ---- The place in the address: the first model's z, its pins, and the number of the test image that is seen.

const rememberPlace = throttled(() => {
  const codes = models.length ? [models[0].z, ...pins] : [];
  const places = codes.map(z => Array.from(z, value => value.toFixed(3)).join(","));
  if (models.length && seen?.number !== undefined) places.push(`image=${seen.number}`);
  history.replaceState(null, "", `#${places.join(";")}`);
});

function recallPlace() {
  const [, codes, number] = /^#(.*?)(?:;image=(\d+))?$/.exec(location.hash) ?? [];
  if (!codes || !models.length) return;
  const places = codes.split(";").map(place => place.split(",").map(Number));
  if (!places.every(z => z.length === models[0].sizes.z && z.every(Number.isFinite))) return;
  if (number) seeNumber(Number(number));
  pins = places.slice(1, 3);
  // The second model shows its own code of the image, else the same point of the map.
  const second = ({ plane, sizes, z }) => number ? z : toZ({ plane, sizes }, toMap(models[0], places[0]));
  moveToZ(models.map((model, i) => i === 0 ? places[0] : second(model)));
  showPins();
}

// ---- Everything together.

const MAX_CLICK_DISTANCE = 5;                // in pixels, from where the pointer was pressed

let mapped = null;                           // the model whose map is shown
let pressed = null;                          // where a pointer was pressed on the map

function showIntroduction() {
  const hasDots = Boolean(models[0]?.means);
  for (const id of ["legend", "dot"]) $(id).hidden = !hasDots;
  const map = hasDots
    ? `Every dot is one of ${digits.length.toLocaleString("en")} test images of ${data.data}, at the mean of its q(z|X).`
    : "The map shows the digits that the decoder draws.";
  $("introduction").textContent = models.length
    ? `${map} Point anywhere: the decoder draws the digit of that z. Two pins show the walk between them.`
    : "No checkpoint is shown. Drop one on this page, or choose its files, for a map of its latent space.";
}

function redrawAll() {
  showIntroduction();
  $("views").hidden = !models.length;
  if (mapped !== models[0]) showProgress("");
  mapped = models[0];
  showModels();
  fitView();
  drawBackground();
  buildFilm();
  buildSliders();
  const isNew = models.map(model => !model.z);
  moveToZ(models.map(model => model.z ?? toZ(model, point)));
  showPins();
  const codes = showEncoded();                 // a new model shows the image, not the z of another
  if (seen && isNew.includes(true)) moveToZ(models.map((model, i) => isNew[i] ? codes[i] : model.z));
  encodeImages(models[0]);
}

function follow(event) {
  const box = map.getBoundingClientRect();
  const across = (event.clientX - box.left - map.clientLeft) / side;
  const down = (event.clientY - box.top - map.clientTop) / side;
  moveTo(centre[0] + (2 * across - 1) * reach, centre[1] - (2 * down - 1) * reach);
}

function onKey(event) {
  const direction = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowDown: [0, -1], ArrowUp: [0, 1] }[event.key];
  if (hasModifier(event)) return;
  if ((event.key === "Enter" || event.key === " ") && !event.repeat) pin();
  if (event.key === "Escape") unpin();
  if (direction || event.key === " ") event.preventDefault();        // the page must not scroll
  if (!direction) return;
  const length = event.shiftKey ? 0.01 : 0.1;
  moveTo(point[0] + length * direction[0], point[1] + length * direction[1]);
  rememberPlace();
}

const halves = base64 => fromFloat16(bytes(base64).buffer);

async function start() {
  digits = bytes(data.digits ?? "");
  $("of-number").hidden = !digits.length;
  $("legend").append(...COLOURS.map((colour, number) => {
    const entry = element("li", { textContent: number });
    entry.style.setProperty("--colour", colour);
    return entry;
  }));
  for (const { name, sizes, weights, means, film } of data.models) {
    addModel({ name, sizes, facts: "built in, in float16", variables: new Map(), means: halves(means), film: film && filmOf(film),
               weights: Object.fromEntries(Object.entries(weights).map(([key, value]) => [key, halves(value)])) });
  }
  $("last").textContent = (digits.length - 1).toLocaleString("en");
  redrawAll();
  if (!data.images) return;
  images = new Uint8Array(await unpack(data.images));
  $("number").max = digits.length - 1;
  seeNumber(Math.min(2, digits.length - 1));           // of MNIST a 1, which is reconstructed well
  encodeImages(models[0]);
  recallPlace();
}

map.addEventListener("pointermove", follow);
map.addEventListener("pointerdown", event => {
  pressed = [event.clientX, event.clientY];
  follow(event);
});
map.addEventListener("pointerup", rememberPlace);
map.addEventListener("click", event => {                             // also at the end of a drag, or without a pointer
  if (!pressed || Math.hypot(event.clientX - pressed[0], event.clientY - pressed[1]) < MAX_CLICK_DISTANCE) pin();
  pressed = null;
});
map.addEventListener("keydown", onKey);
onStrokes(sketch, draw, endStroke);
$("film").addEventListener("input", showFrame);
$("clear").addEventListener("click", clearSketch);
$("resample").addEventListener("click", () => goTo(true));
$("mean").addEventListener("click", () => goTo(false));
$("number").addEventListener("input", () => seeNumber($("number").valueAsNumber));
$("number").addEventListener("change", () => {
  showNumber();
  rememberPlace();
});
$("encode").addEventListener("click", () => {
  seeNumber(nearest(models[0])[0]);
  rememberPlace();
});
$("unpin").addEventListener("click", unpin);
$("swap").addEventListener("click", swapModels);
$("dismiss").addEventListener("click", () => say(""));
$("files").addEventListener("change", event => {
  openFiles(filesOf([...event.target.files]));
  event.target.value = "";                   // so that the same files can be chosen again
});
for (const kind of ["dragover", "dragleave", "drop"]) {
  window.addEventListener(kind, event => {
    event.preventDefault();
    document.body.classList.toggle("dropping", kind === "dragover");
    if (kind === "drop") openFiles(dropped(event.dataTransfer));
  });
}
window.addEventListener("hashchange", recallPlace);
new ResizeObserver(() => { drawBackground(); drawFrame(); }).observe(map);
window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { drawBackground(); drawFrame(); });
start();
