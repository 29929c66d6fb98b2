"use strict";

// Training as a film: where the means of the test images were at earlier checkpoints.

// From the numbers in the page: the dots of each earlier epoch, in the order of the epochs.
function filmOf({ epochs, unit, places }) {
  const all = Float32Array.from(new Int16Array(bytes(places).buffer), value => value * unit), size = 2 * digits.length;
  return { epochs, frames: epochs.slice(0, -1).map((_, i) => all.subarray(i * size, (i + 1) * size)) };
}

function buildFilm() {                       // from the first epoch to the model's own, where it starts
  const film = models[0]?.film;
  $("of-film").hidden = !film;
  if (!film) return;
  $("film").max = film.frames.length;
  $("film").value = models[0].frame ?? film.frames.length;
  showFrame();
}

function showFrame() {
  const model = models[0], { epochs } = model.film;
  model.frame = $("film").valueAsNumber;
  $("epoch").textContent = `after epoch ${epochs[model.frame]}`;
  $("film").setAttribute("aria-valuetext", $("epoch").textContent);
  drawBackground();
  requestFrame();
}

const isEarlier = ({ film, frame }) => Boolean(film?.frames[frame]);

function shownDots({ dots, film, frame, sizes }) {
  const earlier = film?.frames[frame];
  if (!earlier) return dots;
  return sizes.z > 1 ? earlier : earlier.map((value, i) => i % 2 ? dots[i] : value);              // the digits' rows
}
