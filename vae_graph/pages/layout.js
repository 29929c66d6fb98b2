"use strict";

// Where everything in the picture is. A closed group is a box; an open one is a frame around the boxes and frames of what
// is in it, in layers by the longest path. Nothing overlaps: rows lie below each other, and what is in a row side by side.

const HEIGHT = 32, TITLE = 34, GAP = 14, ROW_GAP = 26, CHARACTER = 6.6;

// ---- Groups: a part of the graph, then the scopes in it.

function groupsOf({ name, part }) {          // from the outermost
  const scopes = name.split("/").slice(0, -1);
  return [part, ...scopes.map((_, i) => [part, ...scopes.slice(0, i + 1)].join("/"))];
}

const memberCounts = new Map();
for (const operation of operations.values()) {
  for (const group of groupsOf(operation)) memberCounts.set(group, (memberCounts.get(group) ?? 0) + 1);
}

// The frames that an operation is in, from the outermost, and its box: of a closed group, or its own.
function pathOf(operation, opened) {
  const path = [...groupsOf(operation).filter(group => memberCounts.get(group) > 1), operation.name];
  return path.slice(0, path.findIndex(id => !opened.has(id)) + 1);
}

// ---- The layout.

function layout(opened, executed) {          // opened: groups; executed: the operations whose inputs are marked as used
  const boxes = new Map(), edges = new Map(), paths = new Map();
  const picture = { label: "", children: [] };
  for (const operation of operations.values()) {
    const path = pathOf(operation, opened);
    paths.set(operation.name, path);
    path.forEach((id, depth) => {
      if (!boxes.has(id)) boxes.set(id, newBox(id, depth < path.length - 1, boxes.get(path[depth - 1]) ?? picture));
      boxes.get(id).members.push(operation.name);
    });
  }
  for (const operation of operations.values()) {
    const to = paths.get(operation.name);
    const connect = (name, isControl, isUsed) => {
      const from = paths.get(name), depth = from.findIndex((id, i) => id !== to[i]), key = `${from.at(-1)}\n${to.at(-1)}`;
      if (depth < 0) return;                 // in the same box
      // Groups may depend on each other in both directions: an edge from a later one to an earlier one does not count.
      const [before, after] = [boxes.get(from[depth]), boxes.get(to[depth])];
      if (before.rank < after.rank) after.sources.add(before);
      if (!edges.has(key)) edges.set(key, { from: boxes.get(from.at(-1)), to: boxes.get(to.at(-1)), isControl, isUsed });
      edges.get(key).isControl &&= isControl;
      edges.get(key).isUsed ||= isUsed;
    };
    const isExecuted = executed.has(operation.name);
    operation.inputs.forEach(tensor => connect(operationOf(tensor).name, false, isExecuted));
    operation.control.forEach(name => connect(name, true, isExecuted && executed.has(name)));
  }
  arrange(picture);
  place(picture, 0, 0);
  return { boxes: [...boxes.values()], edges: [...edges.values()], width: picture.width, height: picture.height };
}

function newBox(id, isOpen, parent) {
  const isGroup = !operations.has(id), name = id.split("/").at(-1);
  const label = isGroup ? `${isOpen ? "▾" : "▸"} ${name} (${memberCounts.get(id)})` : withMeaning(id, name);
  const box = { id, isGroup, isOpen, label, members: [], children: [], sources: new Set(), rank: parent.children.length };
  parent.children.push(box);
  return box;
}

function arrange(frame) {                    // the size of a frame, and the places in it, from its left and top
  for (const box of frame.children) {
    if (box.isOpen) arrange(box);
    else [box.width, box.height] = [widthOf(box), HEIGHT];
  }
  let y = TITLE;
  for (const row of rowsOf(frame.children)) {
    let x = GAP;
    for (const [box, middle] of row.map(box => [box, middleOfSources(box)]).sort((a, b) => a[1] - b[1])) {
      [box.x, box.y] = [Math.max(x, middle - box.width / 2), y];
      x = box.x + box.width + GAP;
    }
    y += Math.max(...row.map(({ height }) => height)) + ROW_GAP;
  }
  frame.width = Math.max(widthOf(frame), ...frame.children.map(({ x, width }) => x + width)) + GAP;
  frame.height = y - ROW_GAP + GAP;
}

const widthOf = ({ label }) => Math.max(46, label.length * CHARACTER + 16);

function middleOfSources({ sources }) {      // a box stands below what it reads, as far as there is room
  return [...sources].reduce((sum, { x, width }) => sum + x + width / 2, 0) / (sources.size || 1);
}

function rowsOf(boxes) {                     // by the longest path to each box
  for (const box of boxes) box.row = Math.max(-1, ...[...box.sources].map(({ row }) => row)) + 1;
  // What reads nothing in the same frame, such as a constant, is placed just above what reads it.
  const readers = new Map();
  for (const { row, sources } of boxes) for (const box of sources) readers.set(box, Math.min(row, readers.get(box) ?? row));
  for (const box of boxes) if (!box.sources.size && readers.has(box)) box.row = readers.get(box) - 1;
  const rows = [];
  for (const box of boxes) (rows[box.row] ??= []).push(box);
  return rows.filter(Boolean);
}

function place(frame, left, top) {           // everything in a frame, from the left and the top of the picture
  for (const box of frame.children) {
    box.x += left;
    box.y += top;
    place(box, box.x, box.y);
  }
}
