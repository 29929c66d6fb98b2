"use strict";

// Sliders, for n_z other than 2: the dimensions whose means vary most.

function buildSliders() {
  const model = models[0];
  $("sliders").replaceChildren();
  $("of-sliders").hidden = !model || model.sizes.z === 2;
  if ($("of-sliders").hidden) return;
  const n_z = model.sizes.z, variances = Array.from({ length: n_z }, (_, i) => variance(model.means, i, n_z));
  const order = [...variances.keys()].sort((i, j) => variances[j] - variances[i]).slice(0, SHOWN_DIMENSIONS);
  $("order").textContent = `${order.length} of ${n_z} dimensions of z`
    + (model.means ? ", those whose means vary most first" : "");
  for (const dimension of order) {
    const slider = element("input", { type: "range", min: -4, max: 4, step: 0.01, id: `z-${dimension + 1}` });
    slider.dataset.dimension = dimension;
    slider.addEventListener("input", () => {
      moveToZ(models.map(({ z }) => z.map((value, i) => i === dimension ? slider.valueAsNumber : value)));
    });
    slider.addEventListener("change", rememberPlace);
    const row = element("div", { className: "slider" });
    row.append(element("label", { textContent: `z${dimension + 1}`, htmlFor: slider.id }), slider, element("span"));
    $("sliders").append(row);
  }
}

function variance(codes, dimension, n_z) {
  if (!codes) return 0;
  let sum = 0, squares = 0;
  for (let i = dimension; i < codes.length; i += n_z) {
    sum += codes[i];
    squares += codes[i] ** 2;
  }
  const n = codes.length / n_z;
  return squares / n - (sum / n) ** 2;
}

function showSliders() {
  for (const slider of $("sliders").querySelectorAll("input")) {
    const value = models[0].z[slider.dataset.dimension];
    slider.value = value;
    slider.nextSibling.textContent = value.toFixed(2);               // which may be beyond the slider's ends
  }
}
