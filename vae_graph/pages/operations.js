"use strict";

// The operations; which of them a run executes, by TensorFlow's rule of pruning; and an order in which they may run.

const operations = new Map(data.operations.map((operation, order) => [operation.name, { ...operation, order }]));
const operationOf = tensor => operations.get(tensor.slice(0, tensor.lastIndexOf(":")));
const producer = name => name.includes(":") ? operationOf(name).name : name;        // of a tensor; or an operation itself
const meanings = new Map(Object.entries(data.meanings));             // of some operations' first outputs, such as z
const withMeaning = (name, label) => meanings.has(name) ? `${label} = ${meanings.get(name)}` : label;

// A fed tensor is not computed, whatever computes it. Control inputs are followed too, except from fed placeholders.
function pruned(fetches, feeds) {
  const fed = new Set(feeds), found = new Set();
  const waiting = fetches.filter(name => !fed.has(name)).map(producer);
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
