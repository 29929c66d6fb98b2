"use strict";

// The models that the page shows: those built in, and the checkpoints that are dropped on it or chosen.

const MAX_FILE_SIZE = 2 ** 31;

const models = [];                           // at most two; the map is the first one's
let images = null, digits = new Uint8Array(0);

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

const image = number => Float32Array.from(images.subarray(784 * number, 784 * (number + 1)), value => value / 255);

// ---- Canvases of digits.

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

const paint = (canvas, pixels, description) =>                       // pixels from 0 to 1
  paintGray(canvas, pixels.map(pixel => 255 * pixel), description);

// ---- Models.

function addModel(model) {                                           // { name, facts, sizes, weights, variables, means }
  models.splice(1, models.length === 2 ? 1 : 0);
  models.push(model);
  model.plane = latentPlane(model.means, model.sizes.z);
  model.z = new Float64Array(model.sizes.z);
  if (!model.means && images) encodeImages(model);
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
    addModel({ name, sizes, weights, variables, facts: `format ${format}, ${step === undefined ? "no step counter" : `step ${step}`}` });
    redrawAll();
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
