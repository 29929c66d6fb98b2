"use strict";

// Where the boxes and edges of a small graph are. Boxes stand in rows, each below all that it reads. An edge that
// passes a row has a place of its own in it, so none passes behind a box.

const HEIGHT = 34, GAP = 8, ROW_GAP = 30, PASSAGE = 6, SWEEPS = 8;

// boxes: { id, width }; edges: { from, to, isControl }, by the boxes' ids.
function layered(boxes, edges) {
  const nodes = boxes.map(box => ({ ...box, row: 0, before: [], after: [] }));
  const byId = new Map(nodes.map(node => [node.id, node]));
  const found = edges.map(edge => ({ ...edge, from: byId.get(edge.from), to: byId.get(edge.to) }));
  assignRows(nodes, found);
  const rows = Array.from({ length: Math.max(-1, ...nodes.map(({ row }) => row)) + 1 }, () => []);
  nodes.forEach(node => rows[node.row].push(node));
  for (const edge of found) {                                  // the edge as a chain of neighbours in adjacent rows
    edge.chain = [edge.from];
    for (let row = edge.from.row + 1; row < edge.to.row; row++) {
      const passage = { width: PASSAGE, row, before: [], after: [] };
      rows[row].push(passage);
      edge.chain.push(passage);
    }
    edge.chain.push(edge.to);
    for (let i = 1; i < edge.chain.length; i++) {
      edge.chain[i - 1].after.push(edge.chain[i]);
      edge.chain[i].before.push(edge.chain[i - 1]);
    }
  }
  rows.forEach(row => arrange(row, () => 0));
  for (let sweep = 0; sweep < SWEEPS; sweep++) {
    const side = sweep % 2 ? "after" : "before";
    for (const row of sweep % 2 ? rows.toReversed() : rows) arrange(row, node => middleOf(node[side]) ?? middle(node));
  }
  const all = rows.flat(), left = Math.min(0, ...all.map(({ x }) => x));
  for (const node of all) [node.x, node.y] = [node.x - left, node.row * (HEIGHT + ROW_GAP)];
  return { boxes: nodes, edges: found.map(edge => ({ ...edge, points: route(edge) })),
           width: Math.max(0, ...all.map(({ x, width }) => x + width)),
           height: rows.length * (HEIGHT + ROW_GAP) - ROW_GAP };
}

const middle = ({ x, width }) => x + width / 2;
const middleOf = nodes => nodes.length ? nodes.reduce((sum, node) => sum + middle(node), 0) / nodes.length : undefined;

// By the longest path to each; what reads nothing is just above its first reader.
function assignRows(nodes, edges) {
  nodes.forEach(() => {                                        // as many times as a path can be long
    for (const { from, to } of edges) to.row = Math.max(to.row, from.row + 1);
  });
  for (const node of nodes) {
    if (edges.some(({ to }) => to === node)) continue;
    const rows = edges.filter(({ from }) => from === node).map(({ to }) => to.row);
    if (rows.length) node.row = Math.min(...rows) - 1;
  }
}

// Orders a row by where its nodes would best be, and places each as near to that as its neighbours allow.
function arrange(row, best) {
  const wanted = new Map(row.map(node => [node, best(node)]));
  row.sort((a, b) => wanted.get(a) - wanted.get(b));
  let end = -Infinity;
  for (const node of row) {
    node.x = Math.max(wanted.get(node) - node.width / 2, end);
    end = node.x + node.width + GAP;
  }
  const shift = row.reduce((sum, node) => sum + middle(node) - wanted.get(node), 0) / row.length;
  for (const node of row) node.x -= shift;
}

function route({ chain }) {                                    // the ends of the edge in each gap between two rows
  const port = (nodes, other, node) => {
    const sorted = [...new Set(nodes)].sort((a, b) => middle(a) - middle(b));
    return node.x + node.width * (sorted.indexOf(other) + 1) / (sorted.length + 1);
  };
  return chain.slice(1).map((to, i) => {
    const from = chain[i];
    return [port(from.after, to, from), from.y + HEIGHT, port(to.before, from, to), to.y];
  });
}
