"use strict";

// The loss of the image that the encoder sees, as in vae_graph/model.py: its two terms, and the first pixel by pixel.

const LARGEST_FLOAT32_BELOW_1 = 1 - 2 ** -24;
const TYPICAL_LOSS = 200;                    // the length of the bars, so that images can be compared

function pixelLosses(X, X_out) {             // -log p(X|z) of each pixel, in nats
  return X.map((x, i) => {
    const p = Math.min(Math.max(X_out[i], 1e-8), LARGEST_FLOAT32_BELOW_1);
    return -(x * Math.log(p) + (1 - x) * Math.log(1 - p));
  });
}

function klDivergence({ mean, std }) {       // KL(q(z|X) || N(0, I)) in nats
  return mean.reduce((sum, value, i) => sum + (value ** 2 + std[i] ** 2 - 1 - Math.log(std[i] ** 2 + 1e-8)) / 2, 0);
}

function showLoss(encoded) {                 // { model, mean, std, X_out, isSample } of each model
  const losses = encoded.map(({ X_out }) => pixelLosses(seen.pixels, X_out));
  const largest = Math.max(...losses.map(own => own.reduce((most, value) => Math.max(most, value))));
  const terms = encoded.map(({ model, mean, std, X_out, isSample }, i) => {
    const ofWhat = isSample ? "a sample" : "the mean", by = models.length > 1 ? ` by ${letter(model)}` : "";
    paint(model.reconstruction, X_out, `Reconstruction of ${seen.what}${by}`);
    paintHeat(model.heat, losses[i], largest, `-log p of each pixel of ${seen.what}${by}`);
    model.reconstruction.nextSibling.textContent = `reconstruction${by} from ${ofWhat}`;
    model.heat.nextSibling.textContent = `-log p${by}, per pixel; white: ${largest.toFixed(1)} nats`;
    return { Recon_error: losses[i].reduce((sum, value) => sum + value, 0), KL: klDivergence({ mean, std }), model };
  });
  const scale = terms.reduce((most, { Recon_error, KL, model }) => Math.max(most, Recon_error, KL + model.sizes.z),
                             TYPICAL_LOSS);
  $("bars").replaceChildren(...terms.flatMap(({ Recon_error, KL, model }) => [
    ...bar(`${labelled(model)}Recon_error`, [Recon_error / scale], Recon_error.toFixed(2)),
    ...bar(`${labelled(model)}KL + n_z`, [KL / scale, model.sizes.z / scale], `${KL.toFixed(2)} + ${model.sizes.z}`),
    ...bar(`${labelled(model)}ELBO`, [], (Recon_error + KL + model.sizes.z).toFixed(2)),
  ]));
  $("scale").textContent = Math.ceil(scale);
  $("of-loss").hidden = !terms.length;
}

function bar(label, lengths, value) {        // a label, parts of a line one after the other, and a number
  const track = element("div", { className: "track" });
  track.append(...lengths.map(length => {
    const part = element("span");
    part.style.width = `${100 * length}%`;
    return part;
  }));
  return [element("span", { textContent: label }), track, element("span", { textContent: value })];
}

function paintHeat(canvas, losses, largest, description) {           // black, red, yellow, white
  const content = new ImageData(28, 28);
  losses.forEach((loss, i) => {
    const level = 3 * 255 * loss / (largest || 1);
    content.data.set([level, level - 255, level - 510, 255], 4 * i);                 // which are clamped
  });
  canvas.getContext("2d").putImageData(content, 0, 0);
  canvas.setAttribute("aria-label", description);
}

// The curve of q(z|X), a Gaussian, at some standard deviations, on the map: its centre, its two radii and its angle.
function gaussianEllipse({ plane: { axes } }, mapped, std) {
  const covariance = (i, j) => std.reduce((sum, value, k) => sum + axes[i][k] * axes[j][k] * value ** 2, 0);
  const [a, b, c] = [covariance(0, 0), covariance(0, 1), covariance(1, 1)];
  const middle = (a + c) / 2, distance = Math.hypot((a - c) / 2, b);
  return { centre: mapped, radii: [middle + distance, Math.max(middle - distance, 0)].map(Math.sqrt),
           angle: Math.atan2(2 * b, a - c) / 2 };
}
