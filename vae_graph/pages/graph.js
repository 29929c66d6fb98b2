"use strict";

// The page as a whole: its picture, its panels, and the walk through a run.

const labelled = name => withMeaning(name.replace(/:0$/, ""), name);

let fetches = [], feeds = [];                // names of tensors, and of operations
let opened = new Set();                      // groups that are shown by what is in them
let selected = null, executed = new Set(), order = [], position = 0, timer = null, zoom = 1;

// ---- The picture.

const svg = (name, attributes) => {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
};

function drawGraph() {
  const { boxes, edges, width, height } = layout(opened, executed);
  const picture = svg("svg", { viewBox: `0 0 ${width} ${height}`, width: width * zoom, height: height * zoom,
                               role: "group", "aria-label": "The graph" });
  const frames = boxes.filter(({ isOpen }) => isOpen);
  const kinds = { lit: executed, missing: new Set(missingPlaceholders(executed)), fed: new Set(feeds.map(producer)),
                  fetched: new Set(fetches.map(producer)), selected: new Set([selected ?? order[position - 1]]) };
  picture.append(...frames.map(({ x, y, width, height }) => svg("rect", { class: "frame", x, y, width, height, rx: 8 })),
                 ...edges.map(drawEdge), ...boxes.map(box => drawBox(box, kinds)));
  $("graph").replaceChildren(picture);
}

function drawEdge({ from, to, isControl, isUsed }) {
  const [x1, y1, x2, y2] = [from.x + from.width / 2, from.y + HEIGHT, to.x + to.width / 2, to.y], middle = (y1 + y2) / 2;
  return svg("path", { d: `M${x1} ${y1}C${x1} ${middle} ${x2} ${middle} ${x2} ${y2}`,
                       class: `${isUsed ? "lit" : ""} ${isControl ? "control" : ""}` });
}

// kinds: sets of operations; a box is of a kind if one of its operations is. Of a frame only the title is drawn.
function drawBox({ id, isGroup, isOpen, label, members, x, y, width }, kinds) {
  const count = members.filter(name => executed.has(name)).length;
  const own = isOpen ? ["open"] : Object.keys(kinds).filter(kind => members.some(name => kinds[kind].has(name)));
  const box = svg("g", { class: [...own, isGroup ? "group" : ""].join(" "), tabindex: 0, role: "button", "aria-label": isGroup
    ? `Group ${id}: ${count} of ${members.length} operations run` : `Operation ${id}${count ? ", runs" : ""}` });
  if (isGroup) box.setAttribute("aria-expanded", isOpen);
  const title = svg("title", {}), text = svg("text", { x: isOpen ? x + 10 : x + width / 2, y: y + (isOpen ? 18 : 20),
                                                       "text-anchor": isOpen ? "start" : "middle" });
  title.textContent = id;
  text.textContent = label;
  box.append(title, svg("rect", { x, y, width, height: isOpen ? TITLE : HEIGHT, rx: isOpen ? 8 : 5 }), text);
  box.dataset.id = id;
  box.addEventListener("click", () => isGroup ? toggle(id) : select(id));
  box.addEventListener("keydown", event => {
    if (event.key !== "Enter" && event.key !== " ") return;
    event.preventDefault();
    box.dispatchEvent(new MouseEvent("click"));
  });
  return box;
}

// ---- The panels.

function button(text, onclick, properties = {}) {
  const made = element("button", { type: "button", textContent: text, onclick, ...properties });
  made.dataset.id = `button ${text}`;
  return made;
}

function listButtons(id, items) {
  $(id).replaceChildren(...items.map(item => {
    const entry = element("li");
    entry.append(item);
    return entry;
  }));
}

// A button that fetches or feeds a tensor, or no longer does.
const choice = (verb, name, chosen) =>
  button(`${verb} ${name}`, () => flip(chosen, name), { ariaPressed: chosen.includes(name) });

function flip(chosen, name) {                // chosen: fetches or feeds
  chosen.includes(name) ? chosen.splice(chosen.indexOf(name), 1) : chosen.push(name);
  runChanged();
}

function toggle(group) {
  if (opened.has(group)) {
    opened = new Set([...opened].filter(other => other !== group && !other.startsWith(`${group}/`)));
  } else {
    opened.add(group);
  }
  show();
}

function select(name) {
  selected = name;
  show();
}

function runChanged() {
  executed = pruned(fetches, feeds);
  order = possibleOrder(executed);
  position = 0;
  stop();
  show();
}

function showRun() {
  const isBlocked = missingPlaceholders(executed).length > 0 || !order.length;
  const isShown = scene => `${scene.fetches}` === `${fetches}` && `${scene.feeds}` === `${feeds}`;
  listButtons("scenes", data.scenes.map(scene =>
    button(`${scene.section}. ${scene.title}`, () => openScene(scene), { ariaPressed: isShown(scene) })));
  for (const [id, names] of [["fetches", fetches], ["feeds", feeds]]) {
    listButtons(id, names.map(name => button(`${labelled(name)} ×`, () => flip(names, name), { title: "Remove" })));
    if (!names.length) $(id).append(element("li", { textContent: "none" }));
  }
  $("executed").textContent = fetches.length
    ? `${executed.size} of ${operations.size} operations ${isBlocked ? "would run" : "run"}` : "nothing is fetched";
  $("missing").textContent = missingPlaceholders(executed).map(name =>
    `You must feed a value for placeholder tensor '${name}' with dtype ${operations.get(name).outputs[0].dtype}`).join("\n");
  $("position").max = order.length;
  $("position").value = position;
  for (const id of ["previous", "next", "play", "position"]) $(id).disabled = isBlocked;
}

function showOperation() {
  const operation = operations.get(selected ?? order[position - 1]);
  $("selected").textContent = operation ? operation.name : "No operation selected";
  $("facts").replaceChildren();
  $("outputs").replaceChildren();
  showSource(operation?.line);
  if (!operation) return;
  const facts = { type: operation.type, part: operation.part, inputs: operation.inputs.join(", ") || "none",
                  "waits for": operation.control.join(", ") || "nothing else",
                  "line of model.py": operation.line ?? "none: TensorFlow's, or the optimizer's",
                  "in this run": executed.has(operation.name) ? `yes, number ${order.indexOf(operation.name) + 1}` : "no" };
  for (const [name, text] of Object.entries(facts)) {
    $("facts").append(element("dt", { textContent: name }), element("dd", { textContent: text }));
  }
  operation.outputs.forEach((output, i) => $("outputs").append(describeTensor(`${operation.name}:${i}`, output)));
  if (!operation.outputs.length) $("outputs").append(choice("fetch", operation.name, fetches));
}

function describeTensor(name, { dtype, shape, feedable }) {
  const box = element("div"), value = data.values[name], row = element("div", { className: "buttons" });
  const number = x => Number(x).toPrecision(4);
  box.append(element("p", { textContent: `${name}: ${dtype} ${shape ? `[${shape.map(size => size ?? "?")}]` : "of any shape"}` }));
  if (dtype !== "resource") row.append(choice("fetch", name, fetches));
  row.append(feedable ? choice("feed", name, feeds) : button("cannot be fed", null, { disabled: true }));
  box.append(row);
  if (!value) return box;
  let text = `recorded: [${value.shape}]`;
  if (value.min !== undefined) text += `, minimum ${number(value.min)}, mean ${number(value.mean)}, maximum ${number(value.max)}`;
  if (value.not_finite) text += `, of which ${value.not_finite} are not finite`;
  if (value.texts) text += `: ${value.texts.join(", ")}`;
  if (value.numbers) text += `: ${value.numbers.map(number).join(", ")}`;
  box.append(element("output", { textContent: text }));
  if (value.picture) box.append(pictureOf(value.picture, name));
  return box;
}

function pictureOf({ width, height, gray }, name) {
  const canvas = element("canvas", { width, height });
  paintGray(canvas, Array.from(atob(gray), character => character.charCodeAt(0)),
            `The recorded value of ${name}, black where it is smallest`);
  canvas.style.width = `${width * Math.max(1, Math.min(4, Math.floor(360 / width)))}px`;
  return canvas;
}

function showSource(line) {
  for (const [i, text] of [...$("source").children].entries()) text.classList.toggle("here", i + 1 === line);
  const here = $("source").querySelector(".here");
  if (here) $("source").scrollTop = here.offsetTop - $("source").offsetTop - $("source").clientHeight / 2;
}

function show() {
  const focused = document.activeElement?.dataset.id;
  drawGraph();
  showRun();
  showOperation();
  if (focused) (document.querySelector(`[data-id="${CSS.escape(focused)}"]`) ?? $("graph")).focus({ preventScroll: true });
}

function setZoom(value) {
  zoom = Math.min(Math.max(value, 0.25), 4);
  drawGraph();
}

// ---- Walking through a run.

function goTo(step) {
  position = Math.min(Math.max(step, 0), order.length);
  selected = null;
  const current = operations.get(order[position - 1]);
  if (current) opened.add(current.part);
  show();
  scrollToSelected();
}

function scrollToSelected() {                // within the picture: the page, and the buttons on it, stay where they are
  const box = $("graph").querySelector(".selected")?.getBoundingClientRect(), room = $("graph").getBoundingClientRect();
  if (!box || (box.top >= room.top && box.bottom <= room.bottom && box.left >= room.left && box.right <= room.right)) return;
  $("graph").scrollBy(box.left + box.width / 2 - room.left - room.width / 2,
                      box.top + box.height / 2 - room.top - room.height / 2);
}

function stop() {
  clearInterval(timer);
  timer = null;
  $("play").setAttribute("aria-pressed", "false");
}

function play() {
  if (timer) return stop();
  if (position === order.length) position = 0;
  timer = setInterval(() => position < order.length ? goTo(position + 1) : stop(), 400);
  $("play").setAttribute("aria-pressed", "true");
}

function openScene(scene) {
  [fetches, feeds, selected] = [[...scene.fetches], [...scene.feeds], scene.selected];
  opened = new Set([...pruned(fetches, feeds)].map(name => operations.get(name).part).filter(part => !data.closed.includes(part)));
  runChanged();
  history.replaceState(null, "", `#scene-${data.scenes.indexOf(scene) + 1}`);
}

function recallScene() {
  const number = Number(location.hash.replace("#scene-", ""));
  openScene(data.scenes[number - 1] ?? data.scenes[3]);
}

$("name").textContent = data.name;
$("n-images").textContent = data.recorded.images;
$("keep-prob").textContent = data.recorded.keep_prob;
$("source").append(...data.source.map((text, i) => element("div", { textContent: `${String(i + 1).padStart(3)}  ${text}` })));
$("previous").addEventListener("click", () => goTo(position - 1));
$("next").addEventListener("click", () => goTo(position + 1));
$("play").addEventListener("click", play);
$("smaller").addEventListener("click", () => setZoom(zoom / 1.25));
$("larger").addEventListener("click", () => setZoom(zoom * 1.25));
$("fit").addEventListener("click", () => setZoom(($("graph").clientWidth - 1) / $("graph").firstChild.viewBox.baseVal.width));
$("position").addEventListener("input", () => goTo($("position").valueAsNumber));
window.addEventListener("hashchange", recallScene);
recallScene();
