"use strict";

// Values as text and as pictures.

const SIDE = 28, N_DIGITS = 10, MAX_STRINGS = 4;
const MAX_ROWS = 64, MAX_COLUMNS = 256;                        // of a picture; of larger matrices every n-th is shown

function written(x) {
  if (typeof x === "string" || Number.isInteger(x) || !Number.isFinite(x)) return String(x);
  return Math.abs(x) >= 1e5 || Math.abs(x) < 1e-3 ? x.toExponential(2) : x.toPrecision(4);
}

function range(numbers) {                                      // of those that are finite
  let [lowest, highest, total, n] = [Infinity, -Infinity, 0, 0];
  for (const x of numbers) {
    if (!Number.isFinite(x)) continue;
    lowest = Math.min(lowest, x);
    highest = Math.max(highest, x);
    total += x;
    n++;
  }
  return { lowest, highest, mean: total / n, notFinite: numbers.length - n };
}

function facts({ shape, data }) {
  if (typeof data[0] === "string") {
    return data.slice(0, MAX_STRINGS).join(", ") + (data.length > MAX_STRINGS ? `, ... (${data.length})` : "");
  }
  if (data.length <= 8) return bracketed(shape, Array.from(data, written));
  const { lowest, highest, mean, notFinite } = range(data);
  const others = notFinite ? `, ${notFinite} not finite` : "";
  return `from ${written(lowest)} to ${written(highest)}, mean ${written(mean)}${others}`;
}

const bracketed = ([size, ...rest], parts) => size === undefined ? parts[0] : `[${Array.from({ length: size }, (_, i) =>
  bracketed(rest, parts.slice(i * parts.length / size, (i + 1) * parts.length / size))).join(", ")}]`;

// A batch of images side by side; any other matrix as it is: gray values, black where what is shown is lowest.
function pictureOf({ shape, data }, name) {
  const isDigits = shape.length === 2 && shape[1] === SIDE ** 2;
  const columns = isDigits ? SIDE * Math.min(shape[0], N_DIGITS) : shape.at(-1);
  const rows = isDigits ? SIDE : data.length / columns;
  const [downs, acrosses] = [Math.ceil(rows / MAX_ROWS), isDigits ? 1 : Math.ceil(columns / MAX_COLUMNS)], values = [];
  for (let i = 0; i < rows; i += downs) {
    for (let j = 0; j < columns; j += acrosses) {
      values.push(data[isDigits ? Math.floor(j / SIDE) * SIDE ** 2 + i * SIDE + j % SIDE : i * columns + j]);
    }
  }
  const { lowest, highest } = range(values), isProbability = lowest >= 0 && highest <= 1;
  const [black, white] = isProbability ? [0, 1] : [lowest, highest];
  const canvas = element("canvas", { width: Math.ceil(columns / acrosses), height: Math.ceil(rows / downs) });
  paintGray(canvas, values.map(value => 255 * (value - black) / (white - black || 1)),
            `${name}: black is ${written(black)}, white is ${written(white)}`);
  canvas.title = canvas.getAttribute("aria-label");
  return canvas;
}

function enlarged(value, name, scale = 4) {
  const canvas = pictureOf(value, name);
  canvas.style.width = `${canvas.width * Math.max(1, Math.min(scale, Math.floor(440 / canvas.width)))}px`;
  if (canvas.height < 5) canvas.style.height = `${4 * scale * canvas.height}px`;
  return canvas;
}

const hasPicture = ({ shape, data }) => typeof data[0] === "number" && data.length > 8 && shape.length > 0;
