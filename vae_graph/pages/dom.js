"use strict";

// What the scripts of both pages use: the elements of the page, and the data in it.

const $ = id => document.getElementById(id);
const data = JSON.parse($("numbers").textContent);

function element(name, properties = {}) {
  return Object.assign(document.createElement(name), properties);
}

function button(textContent, onclick, properties = {}) {
  return element("button", { type: "button", textContent, onclick, ...properties });
}

const ADDRESS_PERIOD = 400;                                    // milliseconds: Safari refuses more than 100 changes in 30 s
const hasAddress = location.protocol !== "about:";             // else it is an iframe's `srcdoc`, whose address is fixed

// A function that calls `change`, which changes the address, at once, but again only after the period: then once for all
// calls in it.
function throttled(change) {
  let timer = null, isDue = false;
  return function call() {
    isDue = timer !== null;
    if (isDue || !hasAddress) return;
    change();
    timer = setTimeout(() => {
      timer = null;
      if (isDue) call();
    }, ADDRESS_PERIOD);
  };
}

const hasModifier = ({ altKey, ctrlKey, metaKey }) => altKey || ctrlKey || metaKey;        // the browser's own shortcuts

// Calls `draw` with the events of each stroke, those of one pointer from where its main button is pressed; then `ended`.
function onStrokes(canvas, draw, ended) {
  let pointer = null;
  canvas.addEventListener("pointerdown", event => {
    if (event.button !== 0 || pointer !== null) return;        // another button, or a second finger
    pointer = event.pointerId;
    canvas.setPointerCapture(pointer);                         // its moves and its end are heard outside, too
    draw(event);
  });
  canvas.addEventListener("pointermove", event => { if (event.pointerId === pointer) draw(event); });
  for (const kind of ["pointerup", "pointercancel"]) {
    canvas.addEventListener(kind, event => {
      if (event.pointerId !== pointer) return;
      pointer = null;
      ended();
    });
  }
}

// Gray levels from 0 to 255, row by row, as many as the canvas has pixels.
function paintGray(canvas, levels, description) {
  const content = new ImageData(canvas.width, canvas.height);
  levels.forEach((level, i) => content.data.set([level, level, level, 255], 4 * i));
  canvas.getContext("2d").putImageData(content, 0, 0);
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", description);
}
