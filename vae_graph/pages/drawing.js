"use strict";

// The operations of a line or group as a graph; of a line that calls others, those lines.

const CHARACTER = 6.4;

let isWhole = false;                                           // also operations that do not run are drawn

const svg = (name, attributes) => {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
};

function drawGraph(line, selected) {
  const all = line.calls.length ? line.operations : line.own.filter(({ group }) => group === selected.group);
  const used = all.filter(operation => shown.executed.has(operation) || isFed(operation));
  const isPart = !isWhole && used.includes(selected);
  $("whole").hidden = used.length === all.length || !used.includes(selected);
  $("whole").textContent = isPart ? `Show also the ${all.length - used.length} that do not run` : "Show only what runs";
  const { boxes, edges } = partOfGraph(line, isPart ? used : all, isPart), picture = layered(boxes, edges);
  const drawn = svg("svg", { viewBox: `-2 -2 ${picture.width + 4} ${picture.height + 4}`, role: "group",
                             "aria-label": `The operations of ${place(line)}` });
  drawn.style.width = `${picture.width + 4}px`;
  drawn.append(...picture.edges.map(drawEdge), ...picture.boxes.map(box => drawBox(box, selected)));
  $("graph").replaceChildren(drawn);
  const box = $("graph").querySelector(".selected")?.getBBox();
  if (box) $("graph").scrollLeft = box.x + box.width / 2 - $("graph").clientWidth / 2;
}

const isFed = ({ name, outputs }) => outputs.some((_, i) => run.feeds.has(`${name}:${i}`));

// The boxes and edges of some operations of a line, and of the lines and groups that they read and that read them.
function partOfGraph(line, own, isPart) {
  const boxes = new Map(), edges = new Map(), inside = new Set(own);
  const isOfVariable = group => session.variables.has(group);
  const named = called => called.name || called.code.split(" =")[0];
  const boxOf = operation => {
    if (!line.calls.length) {
      return { id: operation.name, operation, title: operation.type, text: operation.name.split("/").at(-1) };
    }
    let called = lines[operation.line];
    while (called.caller !== line.index) called = lines[called.caller];
    return { id: `line ${called.index}`, operation: called.result, title: named(called), text: place(called) };
  };
  const outside = (operation, side) => {
    const isGroup = operation.group && operation.line === line.index, other = lines[operation.line];
    const link = { id: `${side} ${operation.line}`, operation, isLink: true, title: named(other), text: place(other) };
    if (!isGroup) return link;
    // One box for the groups of several variables.
    const isShared = isOfVariable(operation.group) && !isOfVariable(own[0].group);
    const id = `${side} ${isShared ? "variables" : operation.group}`;
    return { ...link, id, title: operation.group, text: named(other) };
  };
  const connect = (from, to, isControl, isUsed) => {
    for (const box of [from, to]) {
      if (!boxes.has(box.id)) boxes.set(box.id, { ...box, titles: new Set() });
      boxes.get(box.id).titles.add(box.title);
    }
    if (from.id === to.id) return;
    const key = `${from.id}\n${to.id}`, edge = edges.get(key) ?? { isControl: true, isUsed: false };
    edges.set(key, { from: from.id, to: to.id, isControl: edge.isControl && isControl, isUsed: edge.isUsed || isUsed });
  };
  for (const operation of own) {
    const box = boxOf(operation);
    connect(box, box);                                         // it may be the only one
    const isExecuted = shown.executed.has(operation), isUsed = shown.done.has(operation);
    for (const [names, isControl] of isPart && !isExecuted ? [] : [[operation.inputs, false], [operation.control, true]]) {
      for (const source of names.map(producer)) {
        const other = inside.has(source) ? boxOf(source) : outside(source, "from");
        connect(other, box, isControl, isUsed);
      }
    }
    for (const reader of readers.get(operation)) {
      if (inside.has(reader) || (isPart && !shown.executed.has(reader))) continue;
      const isControl = !reader.inputs.some(name => producer(name) === operation);
      connect(box, outside(reader, "to"), isControl, shown.done.has(reader));
    }
  }
  const sized = [...boxes.values()].map(({ titles, ...box }) => {
    const title = titles.size > 1 ? `${titles.size} variables` : box.title;
    return { ...box, title, width: Math.max(title.length, box.text.length) * CHARACTER + 12 };
  });
  return { boxes: sized, edges: [...edges.values()] };
}

function drawEdge({ points, isControl, isUsed }) {
  const curves = points.map(([x1, y1, x2, y2], i) => {
    const y = (y1 + y2) / 2;
    return `${i ? "L" : "M"}${x1} ${y1}C${x1} ${y} ${x2} ${y} ${x2} ${y2}`;
  });
  return svg("path", { d: curves.join(""), class: `${isUsed ? "used" : ""} ${isControl ? "control" : ""}` });
}

function drawBox({ operation, isLink, title, text, x, y, width }, selected) {
  const isRun = shown.done.has(operation), isFetched = run.fetches.some(name => producer(name) === operation);
  const description = isLink ? "in another line" : isRun ? "runs" : shown.executed.has(operation) ? "runs later" : "does not run";
  const state = isLink ? "link" : `${isRun ? "runs" : ""} ${isFed(operation) ? "fed" : ""} ${isFetched ? "fetched" : ""}`;
  const box = svg("g", {
    class: `${state} ${operation === selected ? "selected" : ""}`, tabindex: 0, role: "button",
    "aria-label": `${title} ${text}, ${description}` });
  const written = (words, dy, size) => {
    const made = svg("text", { x: x + width / 2, y: y + dy, class: size });
    made.textContent = words;
    return made;
  };
  box.append(svg("rect", { x, y, width, height: HEIGHT, rx: isLink ? HEIGHT / 2 : 4 }),
             written(title, 14, "large"), " ", written(text, 27, "small"));
  box.addEventListener("click", () => select(operation));
  box.addEventListener("keydown", event => {
    if (event.key !== "Enter" && event.key !== " ") return;
    event.preventDefault();
    select(operation);
    $("graph").querySelector(".selected")?.focus();
  });
  return box;
}
