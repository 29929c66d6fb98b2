"use strict";

const $ = id => document.getElementById(id);
const data = JSON.parse($("numbers").textContent);
const operations = new Map(data.operations.map((operation, order) => [operation.name, { ...operation, order }]));
const operationOf = tensor => operations.get(tensor.slice(0, tensor.lastIndexOf(":")));
const isTensor = name => name.includes(":");
const meanings = new Map(Object.entries(data.meanings));             // of some operations' first outputs, such as z
const withMeaning = (name, label) => meanings.has(name) ? `${label} = ${meanings.get(name)}` : label;
const labelled = name => withMeaning(name.replace(/:0$/, ""), name);

let fetches = [], feeds = [];                // names of tensors, and of operations
let opened = new Set();                      // groups that are shown by what is in them
let selected = null, executed = new Set(), order = [], position = 0, timer = null;

// ---- What a run executes: what TensorFlow leaves when it prunes the graph.

// A fed tensor is not computed, whatever computes it. Control inputs are followed too, except from fed placeholders.
function pruned(fetches, feeds) {
  const fed = new Set(feeds), found = new Set();
  const waiting = fetches.filter(name => !fed.has(name)).map(name => isTensor(name) ? operationOf(name).name : name);
  while (waiting.length) {
    const name = waiting.pop();
    if (found.has(name)) continue;
    found.add(name);
    const { inputs, control } = operations.get(name);
    waiting.push(...inputs.filter(tensor => !fed.has(tensor)).map(tensor => operationOf(tensor).name),
                 ...control.filter(other => operations.get(other).type !== "Placeholder" || !fed.has(`${other}:0`)));
  }
  return found;
}

const missingPlaceholders = found => [...found].filter(name => operations.get(name).type === "Placeholder");

function possibleOrder(found) {              // each operation after those that it waits for, else as they were created
  const result = [], placed = new Set();
  const place = name => {
    const stack = [name];
    while (stack.length) {
      const top = stack.at(-1), { inputs, control } = operations.get(top);
      const before = [...inputs.map(tensor => operationOf(tensor).name), ...control]
        .find(other => found.has(other) && !placed.has(other));
      if (before !== undefined && !placed.has(top)) {
        stack.push(before);
      } else {
        stack.pop();
        if (!placed.has(top)) result.push(top);
        placed.add(top);
      }
    }
  };
  [...found].sort((a, b) => operations.get(a).order - operations.get(b).order).forEach(place);
  return result;
}

// ---- Groups: a part of the graph, then the scopes in it.

function groupsOf({ name, part }) {          // from the outermost
  const scopes = name.split("/").slice(0, -1);
  return [part, ...scopes.map((_, i) => [part, ...scopes.slice(0, i + 1)].join("/"))];
}

const memberCounts = new Map();
for (const operation of operations.values()) {
  for (const group of groupsOf(operation)) memberCounts.set(group, (memberCounts.get(group) ?? 0) + 1);
}

function boxOf(operation) {                  // the closed group that an operation is in, or the operation
  const closed = groupsOf(operation).find(group => !opened.has(group) && memberCounts.get(group) > 1);
  return closed ?? operation.name;
}

// ---- The layout: layers by the longest path, in each layer a row.

const ROW = 58, HEIGHT = 32, GAP = 14, CHARACTER = 6.6;

function layout() {
  const boxes = new Map(), edges = new Map();
  for (const operation of operations.values()) {
    const id = boxOf(operation);
    if (!boxes.has(id)) {
      const isGroup = id !== operation.name || !operations.has(id);
      const label = isGroup ? `${id.split("/").at(-1)} (${memberCounts.get(id)})` : withMeaning(id, id.split("/").at(-1));
      boxes.set(id, { id, isGroup, label, members: [], layer: 0, width: Math.max(46, label.length * CHARACTER + 16) });
    }
    boxes.get(id).members.push(operation.name);
  }
  for (const operation of operations.values()) {
    const to = boxOf(operation);
    const add = (name, isControl, isUsed) => {
      const from = boxOf(operations.get(name)), key = `${from}\n${to}`;
      if (from === to) return;
      if (!edges.has(key)) edges.set(key, { from, to, isControl, isUsed: false });
      edges.get(key).isControl &&= isControl;
      edges.get(key).isUsed ||= isUsed && executed.has(operation.name);
    };
    operation.inputs.forEach(tensor => add(operationOf(tensor).name, false, true));
    operation.control.forEach(name => add(name, true, executed.has(name)));
  }
  // Groups may depend on each other in both directions: an edge from a later box to an earlier one does not count.
  const rank = new Map([...boxes.keys()].map((id, i) => [id, i])), list = [...boxes.values()];
  const sources = new Map(list.map(({ id }) => [id, []]));
  for (const { from, to } of edges.values()) if (rank.get(from) < rank.get(to)) sources.get(to).push(boxes.get(from));
  for (const box of list) box.layer = Math.max(-1, ...sources.get(box.id).map(({ layer }) => layer)) + 1;
  // What reads nothing, such as a constant, is placed just above what reads it.
  const readers = new Map(list.map(({ id }) => [id, []]));
  for (const [id, before] of sources) before.forEach(({ id: source }) => readers.get(source).push(boxes.get(id).layer));
  for (const box of list) {
    if (!sources.get(box.id).length && readers.get(box.id).length) box.layer = Math.min(...readers.get(box.id)) - 1;
  }
  const layers = [];
  for (const box of list) (layers[box.layer] ??= []).push(box);
  for (const layer of layers.filter(Boolean)) {
    // Below what it reads, as far as there is room.
    const wanted = box => {
      const above = sources.get(box.id).filter(({ x }) => x !== undefined);
      return above.length ? above.reduce((sum, { x, width }) => sum + x + width / 2, 0) / above.length : 0;
    };
    let right = GAP;
    for (const [box, middle] of layer.map(box => [box, wanted(box)]).sort((a, b) => a[1] - b[1])) {
      box.x = Math.max(right, middle - box.width / 2);
      box.y = box.layer * ROW + GAP;
      right = box.x + box.width + GAP;
    }
  }
  const width = Math.max(...list.map(({ x, width }) => x + width)) + GAP;
  return { boxes: list, byId: boxes, edges: [...edges.values()], width, height: layers.length * ROW + GAP };
}

const svg = (name, attributes) => {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
};

function drawGraph() {
  const { boxes, byId, edges, width, height } = layout();
  const picture = svg("svg", { width, height, role: "group", "aria-label": "The graph" });
  for (const { from, to, isControl, isUsed } of edges) {
    const [a, b] = [byId.get(from), byId.get(to)];
    const [x1, y1, x2, y2] = [a.x + a.width / 2, a.y + HEIGHT, b.x + b.width / 2, b.y];
    const middle = (y1 + y2) / 2, kind = `${isUsed ? "lit" : ""} ${isControl ? "control" : ""}`;
    picture.append(svg("path", { d: `M${x1} ${y1}C${x1} ${middle} ${x2} ${middle} ${x2} ${y2}`, class: kind }));
  }
  const missing = new Set(missingPlaceholders(executed)), current = order[position - 1];
  for (const box of boxes) {
    const has = test => box.members.some(test), count = box.members.filter(name => executed.has(name)).length;
    const kinds = [box.isGroup && "group", count && "lit", has(name => missing.has(name)) && "missing",
      has(name => feeds.some(tensor => operationOf(tensor).name === name)) && "fed",
      has(name => fetches.some(fetch => (isTensor(fetch) ? operationOf(fetch).name : fetch) === name)) && "fetched",
      has(name => name === (selected ?? current)) && "selected"].filter(Boolean);
    const group = svg("g", { class: kinds.join(" "), tabindex: 0, role: "button",
      "aria-label": box.isGroup ? `Group ${box.id}: ${count} of ${box.members.length} operations run`
        : `Operation ${box.id}${count ? ", runs" : ""}` });
    const title = svg("title", {});
    title.textContent = box.id;
    const label = svg("text", { x: box.x + box.width / 2, y: box.y + HEIGHT / 2 + 4, "text-anchor": "middle" });
    label.textContent = box.label;
    group.append(title, svg("rect", { x: box.x, y: box.y, width: box.width, height: HEIGHT, rx: 5 }), label);
    group.dataset.id = box.id;
    group.addEventListener("click", () => box.isGroup ? toggle(box.id) : select(box.id));
    group.addEventListener("keydown", event => {
      if (event.key === "Enter" || event.key === " ") {
        event.preventDefault();
        group.dispatchEvent(new MouseEvent("click"));
      }
    });
    picture.append(group);
  }
  $("graph").replaceChildren(picture);
}

// ---- The panels.

function element(name, properties = {}) {
  return Object.assign(document.createElement(name), properties);
}

function buttons(id, items, label, onclick, hint) {
  $(id).replaceChildren(...items.map(item => {
    const entry = element("li");
    entry.append(element("button", { type: "button", textContent: label(item), title: hint, onclick: () => onclick(item) }));
    return entry;
  }));
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
  const without = (names, name) => names.filter(other => other !== name);
  buttons("fetches", fetches, labelled, name => { fetches = without(fetches, name); runChanged(); }, "remove");
  buttons("feeds", feeds, labelled, name => { feeds = without(feeds, name); runChanged(); }, "remove");
  buttons("opened", [...memberCounts.keys()].filter(group => opened.has(group)), group => group, toggle, "close");
  $("executed").textContent = fetches.length
    ? `${executed.size} of ${operations.size} operations run, ${operations.size - executed.size} do not` : "nothing is fetched";
  $("missing").textContent = missingPlaceholders(executed).map(name =>
    `You must feed a value for placeholder tensor '${name}' with dtype ${operations.get(name).outputs[0].dtype}`).join("\n");
  $("position").max = order.length;
  $("position").value = position;
  const isBlocked = missingPlaceholders(executed).length > 0 || !order.length;
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
  if (!operation.outputs.length) $("outputs").append(fetchButton(operation.name));
}

function fetchButton(name) {
  return element("button", { type: "button", textContent: `fetch ${name}`, disabled: fetches.includes(name),
                             onclick: () => { fetches.push(name); runChanged(); } });
}

function describeTensor(name, { dtype, shape, feedable }) {
  const box = element("div"), value = data.values[name], row = element("div", { className: "buttons" });
  const number = x => Number(x).toPrecision(4);
  box.append(element("p", { textContent: `${name}: ${dtype} ${shape ? `[${shape.map(size => size ?? "?")}]` : "of any shape"}` }));
  if (dtype !== "resource") row.append(fetchButton(name));
  row.append(element("button", { type: "button", textContent: feedable ? `feed ${name}` : "may not be fed",
    disabled: !feedable || feeds.includes(name), onclick: () => { feeds.push(name); runChanged(); } }));
  box.append(row);
  if (!value) return box;
  let text = `recorded: [${value.shape}]`;
  if (value.min !== undefined) text += `, minimum ${number(value.min)}, mean ${number(value.mean)}, maximum ${number(value.max)}`;
  if (value.not_finite) text += `, of which ${value.not_finite} are not finite`;
  if (value.numbers) text += `: ${value.numbers.map(number).join(", ")}`;
  box.append(element("output", { textContent: text }));
  if (value.picture) box.append(pictureOf(value.picture, name));
  return box;
}

function pictureOf({ width, height, gray }, name) {
  const canvas = element("canvas", { width, height }), content = new ImageData(width, height);
  Array.from(atob(gray)).forEach((character, i) => {
    const level = character.charCodeAt(0);
    content.data.set([level, level, level, 255], 4 * i);
  });
  canvas.getContext("2d").putImageData(content, 0, 0);
  canvas.style.width = `${width * Math.max(1, Math.min(4, Math.floor(360 / width)))}px`;
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", `The recorded value of ${name}, black where it is smallest`);
  return canvas;
}

function showSource(line) {
  for (const [i, text] of [...$("source").children].entries()) text.classList.toggle("here", i + 1 === line);
  const here = $("source").querySelector(".here");
  if (here) $("source").scrollTop = here.offsetTop - $("source").offsetTop - $("source").clientHeight / 2;
}

function show() {
  drawGraph();
  showRun();
  showOperation();
}

// ---- Walking through a run.

function goTo(step) {
  position = Math.min(Math.max(step, 0), order.length);
  selected = null;
  const current = operations.get(order[position - 1]);
  if (current) opened.add(current.part);
  show();
  const box = $("graph").querySelector(".selected");
  box?.scrollIntoView({ block: "nearest", inline: "nearest" });
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
  [fetches, feeds, selected] = [[...scene.fetches], [...scene.feeds], null];
  executed = pruned(fetches, feeds);
  opened = new Set([...executed].map(name => operations.get(name).part).filter(part => !data.closed.includes(part)));
  runChanged();
  history.replaceState(null, "", `#scene-${data.scenes.indexOf(scene) + 1}`);
}

function recallScene() {
  const number = Number(location.hash.replace("#scene-", ""));
  openScene(data.scenes[number - 1] ?? data.scenes[3]);
}

$("name").textContent = data.name;
$("source").append(...data.source.map((text, i) => element("div", { textContent: `${String(i + 1).padStart(3)}  ${text}` })));
buttons("scenes", data.scenes, ({ stop, title }) => `${stop}. ${title}`, openScene, "show this run");
$("previous").addEventListener("click", () => goTo(position - 1));
$("next").addEventListener("click", () => goTo(position + 1));
$("play").addEventListener("click", play);
$("position").addEventListener("input", () => goTo($("position").valueAsNumber));
window.addEventListener("hashchange", recallScene);
recallScene();
