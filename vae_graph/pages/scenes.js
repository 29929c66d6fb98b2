"use strict";

// The run that is shown, as a scene, as Python, and as an address.

const run = { fetches: [], feeds: new Map(), selected: null, line: null };     // selected: an operation

function sceneShown() {
  const specs = JSON.stringify(Object.fromEntries([...run.feeds].map(([name, { spec }]) => [name, spec])));
  return data.scenes.find(({ fetches, feeds }) => `${fetches}` === `${run.fetches}` && JSON.stringify(feeds) === specs);
}

function codeOf() {
  const fetches = run.fetches.map(inPython), list = fetches.length === 1 ? fetches[0] : `[${fetches.join(", ")}]`;
  const feeds = [...run.feeds].map(([name, feed]) => `${inPython(name)}: ${valueInPython(name, feed)}`);
  return `session.run(${list}${feeds.length ? `, {${feeds.join(", ")}}` : ""})`;
}

function valueInPython(name, feed) {
  const { spec } = feed;
  if (!isText(name) && (spec === "images" || spec === "value")) return spec;
  const sizes = typeof spec === "number" ? fedTensor(name, feed).shape.join(", ") : "";
  if (!sizes) return JSON.stringify(spec);
  return spec ? `np.full([${sizes}], ${spec})` : `np.zeros([${sizes}])`;
}

// ---- The address: a scene's number, or the fetches and feeds by name; and the images, if others than at first,
// or the drawn one, a hexadecimal digit for each pixel.

const FIRST_IMAGES = "4,0";                                    // which the scenes' code is about

const chosenImages = () => `${images.count},${images.first}`;
const hasFirstImages = () => !images.drawn && chosenImages() === FIRST_IMAGES;

class AddressError extends Error {}

function address() {
  const scene = sceneShown(), pairs = new URLSearchParams();
  if (!scene) {
    for (const name of run.fetches) pairs.append("fetch", name);
    for (const [name, { spec }] of run.feeds) pairs.append("feed", `${name}=${JSON.stringify(spec)}`);
    if (run.selected) pairs.append("selected", run.selected.name);
  }
  if (run.feeds.has(data.names.X) && !hasFirstImages()) {
    if (images.drawn) pairs.append("drawn", digitsOf(images.drawn));
    else pairs.append("images", chosenImages());
  }
  return `#${scene ? `scene-${scene.number}` : ""}${scene && pairs.size ? "&" : ""}${pairs}`;
}

const isOfScene = fragment => fragment.startsWith("#scene-");

// The fetches, feeds and selected operation of an address; throws an AddressError that says what is unknown in it.
function atAddress(fragment) {
  const number = /^#scene-([^&]*)/.exec(fragment)?.[1] ?? (fragment.length > 1 ? null : data.scenes[0].number);
  const scene = data.scenes.find(other => other.number === number), pairs = new URLSearchParams(fragment.slice(1));
  chooseImages(pairs.get("images") ?? FIRST_IMAGES);
  images.drawn = drawnImage(pairs.get("drawn"));
  if (scene) return { ...scene, feeds: Object.entries(scene.feeds) };
  if (number !== null) {
    const numbers = data.scenes.map(other => other.number).join(", ");
    throw new AddressError(`There is no scene ${number}: the scenes are ${numbers}.`);
  }
  const fetches = pairs.getAll("fetch"), selected = pairs.get("selected");
  const feeds = pairs.getAll("feed").map(text => /^([^=]*)=?(.*)$/.exec(text).slice(1));
  const named = [...fetches, ...feeds.map(([name]) => name), ...(selected ? [selected] : [])];
  const unknown = named.find(name => !exists(name));
  if (unknown !== undefined) throw new AddressError(`The graph has no ${unknown}.`);
  return { fetches, selected, feeds: feeds.map(([name, text]) => [name, specOf(name, text)]) };
}

function chooseImages(text) {                                  // how many, and the first one's number
  const [count, first] = text.split(",").map(Number), most = totalImages();
  if (!Number.isInteger(count) || !Number.isInteger(first) || count < 1 || count > N_DIGITS || first < 0 || first >= most) {
    throw new AddressError(`Expected images=COUNT,FIRST with at most ${N_DIGITS} of the ${most} images, found ${text}.`);
  }
  Object.assign(images, { count: Math.min(count, most), first });
}

const digitsOf = levels => Array.from(levels, level => Math.round(N_SHADES * level).toString(16)).join("");

function drawnImage(digits) {
  const size = imageSize();
  if (digits === null) return null;
  if (size === SIDE * SIDE && digits.length === size && /^[0-9a-f]+$/.test(digits)) {
    return Float32Array.from(digits, digit => parseInt(digit, 16) / N_SHADES);
  }
  throw new AddressError(`Expected drawn= and ${SIDE * SIDE} hexadecimal digits, found ${digits.length} characters.`);
}

const exists = name => operations.has(name) || (/:\d+$/.test(name) && Boolean(producer(name) && outputOf(name)));

function specOf(name, text) {
  const isTyped = spec => {
    if (!name.includes(":") || outputOf(name).unfeedable) return false;
    if (outputOf(name).dtype === "string") return typeof spec === "string";
    if (typeof spec === "string") return spec === "value" || (spec === "images" && name === data.names.X);
    return shapeOf(spec) && [spec].flat(Infinity).every(Number.isFinite);
  };
  try {
    const spec = JSON.parse(text);
    if (isTyped(spec)) return spec;
  } catch { /* the same sentence */ }
  throw new AddressError(`Expected a number or nested arrays to feed ${name}, found ${text}.`);
}
