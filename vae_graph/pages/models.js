"use strict";

// The models that the page shows: those built in, and the checkpoints that are dropped on it or chosen.

const MAX_MODELS = 2;

const models = [];                           // the map is the first one's
let images = null, digits = new Uint8Array(0);

const image = number => Float32Array.from(images.subarray(784 * number, 784 * (number + 1)), value => value / 255);

// ---- Canvases of digits.

function digitCanvas() {
  const canvas = element("canvas", { width: 28, height: 28, className: "digit" });
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", "empty");
  return canvas;
}

function captioned(canvas, text) {
  const figure = element("figure");
  figure.append(canvas, element("figcaption", { textContent: text }));
  return figure;
}

const paint = (canvas, pixels, description) =>                       // pixels from 0 to 1
  paintGray(canvas, pixels.map(pixel => 255 * pixel), description);

// ---- Models.

function addModel(model) {                                           // { name, facts, sizes, weights, variables, means }
  models.push(model);
  model.plane = latentPlane(model.means, model.sizes.z);
}

const letter = model => "AB"[models.indexOf(model)];
const labelled = model => models.length > 1 ? `${letter(model)}: ` : "";

function showModelsToo(added) {                                      // one beside the first, or two in place of all
  const isFirst = !models.length;
  for (const model of models.splice(MAX_MODELS - added.length)) model.worker?.terminate();
  added.forEach(addModel);
  modelsChanged();
  if (isFirst) recallPlace();
  else rememberPlace();
}

function removeModel(model) {
  model.worker?.terminate();
  models.splice(models.indexOf(model), 1);
  modelsChanged();
  rememberPlace();
}

function swapModels() {
  models.reverse();
  modelsChanged();
  rememberPlace();
}

function modelsChanged() {
  if (models[0] !== mapped) pins = [];                               // whose z are of another latent space
  redrawAll();
}

// The map of a dropped checkpoint needs the means of all test images: computed in a worker, once it is the map.
function encodeImages(model) {
  if (!model || model.means || !images || model.worker) return;
  const source = new Blob([$("network").textContent, "onmessage = encodeAll;"], { type: "text/javascript" });
  model.worker = new Worker(URL.createObjectURL(source));
  model.worker.onmessage = ({ data: { n_encoded, means } }) => {
    const isMap = model === models[0];
    if (isMap) showProgress(means ? "" : `${n_encoded} of ${digits.length} test images encoded`);
    if (!means) return;
    model.means = means;
    model.plane = latentPlane(means, model.sizes.z);
    model.worker.terminate();
    if (isMap) redrawAll();
  };
  model.worker.onerror = () => showProgress("The test images cannot be encoded here: this window allows no worker.");
  model.worker.postMessage({ sizes: model.sizes, weights: model.weights, images });
}

function showProgress(text) {
  $("progress").textContent = text;
}

function toZ({ plane, sizes }, [a, b]) {                             // the code of a point of the map
  return Float64Array.from({ length: sizes.z }, (_, i) => plane.origin[i] + a * plane.axes[0][i] + b * plane.axes[1][i]);
}

function toMap({ plane }, z, at = 0) {                               // the point of a code, or of one in an array of codes
  const deviation = plane.origin.map((value, i) => z[at + i] - value);
  return plane.axes.map(axis => dot(axis, deviation));
}

// ---- What is said about them.

const ofEach = (parent, make) => $(parent).replaceChildren(...models.flatMap(make));

function showPictures() {
  ofEach("decoded", model => {
    model.digit = digitCanvas();
    return captioned(model.digit, `${labelled(model)}decoded from z`);
  });
  ofEach("reconstructed", model => {
    [model.reconstruction, model.heat] = [digitCanvas(), digitCanvas()];
    return [captioned(model.reconstruction, "reconstruction"), captioned(model.heat, "-log p, per pixel")];
  });
}

function showModels() {
  $("on-two").hidden = models.length !== 2;
  showPictures();
  ofEach("models", model => {
    const { input, encoder, z, decoder } = model.sizes;
    const title = element("p", { textContent: `${letter(model)}: ${model.name}, ${model.facts}, n_input ${input}, n_hidden_encoder `
      + `${encoder}, n_z ${z}, n_hidden_decoder ${decoder} ` });
    title.append(button("Remove", () => removeModel(model)));
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
