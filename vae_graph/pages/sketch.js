"use strict";

// The field to draw a digit in, which the encoder then sees.

const N_SAMPLES = 10;
let eps = standardNormal();                  // the same for each image, so that samples move with mean and std
const sketch = $("sketch");
const WIDTH = 22;                                                    // of the pen, on a field of 280 x 280
const stroke = element("canvas", { width: 280, height: 280 });       // what was drawn, white on nothing
let drawn = [280, 280, 0, 0];                                        // the box around it: left, top, right, bottom
let last = null;                                                     // where the pointer that draws was
let seen = null;                                                     // by the encoder: { pixels, what, number }

function endStroke() {
  last = null;
  rememberPlace();
}

function draw(event) {
  const box = sketch.getBoundingClientRect(), scale = 280 / sketch.clientWidth;
  const here = [event.clientX - box.left - sketch.clientLeft, event.clientY - box.top - sketch.clientTop].map(
    distance => distance * scale);
  const pen = stroke.getContext("2d");
  Object.assign(pen, { lineWidth: WIDTH, lineCap: "round", strokeStyle: "#ffffff" });
  pen.beginPath();
  pen.moveTo(...(last ?? [here[0], here[1] - 0.1]));                 // of a line of no length nothing would be drawn
  pen.lineTo(...here);
  pen.stroke();
  last = here;
  drawn = [...[0, 1].map(i => Math.max(Math.min(drawn[i], here[i] - WIDTH / 2), 0)),
           ...[0, 1].map(i => Math.min(Math.max(drawn[i + 2], here[i] + WIDTH / 2), 280))];
  sketch.getContext("2d").drawImage(stroke, 0, 0);
  see(centredDigit(), "the drawing");
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

function see(pixels, what, number) {    // and go to the mean
  seen = { pixels, what, number, isSample: false };
  paint($("seen"), pixels, `The encoder's input: ${what}`);
  $("what").textContent = `what the encoder sees: ${what}`;
  if (document.activeElement !== $("number")) showNumber();
  moveToZ(showEncoded());
}

function goTo(isSample) {                    // the first of new samples, or the mean
  if (isSample) eps = standardNormal();
  seen.isSample = isSample;
  moveToZ(showEncoded());
  rememberPlace();
}

function seeNumber(number) {                 // of a test image
  if (images && Number.isInteger(number) && number >= 0 && number < digits.length) {
    clearDrawing();
    see(image(number), `test image ${number}, ${digitName(digits[number])}`, number);
  }
}

function showNumber() {                      // of the test image that is seen, whatever was entered
  $("number").value = seen?.number ?? "";
}

function showEncoded() {                     // q(z|X), its samples, the reconstructions and the loss; returns each z
  const encoded = seen ? models.map(model => {
    const { mean, std } = encode(model, seen.pixels), z = seen.isSample ? sampleOf(mean, std, 0) : mean;
    return { model, mean, std, z, isSample: seen.isSample, X_out: decode(model, z) };
  }) : [];
  const [first] = encoded;
  samples = first ? Array.from({ length: N_SAMPLES }, (_, i) => toMap(models[0], sampleOf(first.mean, first.std, i))) : [];
  ellipse = first ? gaussianEllipse(models[0], toMap(models[0], first.mean), first.std) : null;
  $("encoded").textContent = encoded.map(({ model, mean, std }) =>
    `${labelled(model)}mean ${listed(mean)}; std ${listed(std)}`).join("\n");
  $("resample").disabled = $("mean").disabled = !seen;
  showLoss(encoded);
  return encoded.map(({ z }) => z);
}

const sampleOf = (mean, std, number) => mean.map((value, j) => value + std[j] * eps[(number * 97 + j) % eps.length]);

function clearDrawing() {
  for (const canvas of [stroke, sketch]) canvas.getContext("2d").clearRect(0, 0, canvas.width, canvas.height);
  drawn = [280, 280, 0, 0];
}

function clearSketch() {
  clearDrawing();
  $("seen").getContext("2d").clearRect(0, 0, 28, 28);
  $("seen").setAttribute("aria-label", "Nothing drawn");
  showPictures();
  seen = null;
  $("what").textContent = "what the encoder sees";
  showNumber();
  showEncoded();
  rememberPlace();
  requestFrame();
}

function standardNormal() {
  return Array.from({ length: N_SAMPLES * 1000 }, () =>
    Math.sqrt(-2 * Math.log(1 - Math.random())) * Math.cos(2 * Math.PI * Math.random()));
}
