"use strict";

// What tf.Session does: prune the graph, put its operations in order, run each once.

const operations = new Map(data.operations.map(({ attributes, ...operation }, number) =>
  [operation.name, { ...attributes, ...operation, number }]));
const producer = name => operations.get(name.replace(/:\d+$/, ""));            // of a tensor; or an operation itself

// The operations that the fetches need. A fed tensor is not computed, whatever computes it. Control inputs are followed
// too, except from fed placeholders.
function prune(fetches, isFed) {
  const found = new Set();
  const waiting = fetches.filter(name => !isFed(name)).map(producer);
  while (waiting.length) {
    const operation = waiting.pop();
    if (found.has(operation)) continue;
    found.add(operation);
    const control = operation.control.map(producer);
    waiting.push(...operation.inputs.filter(name => !isFed(name)).map(producer),
                 ...control.filter(({ name, type }) => type !== "Placeholder" || !isFed(`${name}:0`)));
  }
  return found;
}

// Each operation after those that it waits for, else in the order in which they were created.
function inOrder(found) {
  const result = new Set();
  for (const first of [...found].sort((a, b) => a.number - b.number)) {
    const stack = [first];
    while (stack.length) {
      const { inputs, control } = stack.at(-1);
      const before = [...inputs, ...control].map(producer).find(other => found.has(other) && !result.has(other));
      if (before && !result.has(stack.at(-1))) stack.push(before);
      else result.add(stack.pop());
    }
  }
  return [...result];
}

class Session {
  constructor(variables) {
    this.variables = variables;                                                // tensors by the variables' names
    this.files = new Map();                                                    // what Saver wrote
    this.seed = this.draw = 0;                                                 // the next draw gives other noise
  }

  random({ number }) {
    return randomNumbers(this.seed, this.draw, number);
  }

  // fetches: names of tensors and operations; feeds: a map from names of tensors to tensors.
  // Returns the operations that ran, in order, and every tensor's value by its name.
  run(fetches, feeds) {
    for (const [name, { shape }] of feeds) checkFeed(name, shape);
    const order = inOrder(prune(fetches, name => feeds.has(name))), values = new Map(feeds);
    for (const operation of order) {
      try {
        const inputs = operation.inputs.map(name => values.get(name));
        const results = [OPERATIONS[operation.type](inputs, operation, this) ?? []].flat();
        results.forEach((result, i) => {
          if (!feeds.has(`${operation.name}:${i}`)) values.set(`${operation.name}:${i}`, result);
        });
      } catch (error) {
        if (!(error instanceof TensorError)) throw error;
        error.operation = operation;
        throw error;
      }
    }
    return { order, values };
  }
}

function checkFeed(name, found) {
  const { shape } = producer(name).outputs[Number(name.split(":")[1])];
  if (!shape || (shape.length === found.length && shape.every((size, i) => size === null || size === found[i]))) return;
  const written = sizes => `(${sizes.map(size => size ?? "None").join(", ")}${sizes.length === 1 ? "," : ""})`;
  throw new TensorError(`Cannot feed value of shape ${written(found)} for Tensor ${name}, `
    + `which has shape ${written(shape)}`);
}
