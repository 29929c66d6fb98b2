"use strict";

// The code as a map: each operation belongs to the line that made it.

const lines = data.lines.map((line, index) => ({ ...line, index, depth: 0, own: [], operations: [], calls: [] }));
for (const line of lines) {
  if (line.caller === null) continue;
  line.depth = lines[line.caller].depth + 1;
  lines[line.caller].calls.push(line);
}
for (const operation of operations.values()) {
  lines[operation.line].own.push(operation);
  for (let line = lines[operation.line]; line; line = lines[line.caller]) line.operations.push(operation);
}

const place = ({ file, number }) => `${file}:${number}`;

const readers = new Map([...operations.values()].map(operation => [operation, new Set()]));
for (const operation of operations.values()) {
  for (const name of [...operation.inputs, ...operation.control]) readers.get(producer(name)).add(operation);
}

// ---- The operation whose output a line assigns: the last that no other of the line reads.

const isInitializer = ({ name, type }) => /\/Initializer\/|\/Assign$/.test(name) || type === "VarIsInitializedOp";

for (const line of lines) {
  const own = new Set(line.operations);
  line.result = line.caller === null && line.name in data.names ? producer(data.names[line.name])
    : line.operations.findLast(operation => operation.outputs.length && !isInitializer(operation)
      && ![...readers.get(operation)].some(reader => own.has(reader)));
}

// ---- What the program and the model call a tensor or operation, such as ELBO.

const meanings = new Map(lines.filter(({ name, caller }) => name && caller !== null)
  .map(({ name, result }) => [`${result.name}:0`, name]));
for (const [meaning, name] of Object.entries(data.names)) meanings.set(name, meaning);

const meaning = name => meanings.get(name) ?? name.replace(/:0$/, "");
const inPython = name =>
  Object.keys(data.names).find(meaning => data.names[meaning] === name) ?? JSON.stringify(name);
const listed = names => [...new Set(names.map(meaning))].join(", ").replace(/, ([^,]*)$/, " and $1");

// ---- Which lines run, and why.

function reasons(fetches, feeds) {                             // names; returns a function of a line
  const needing = fetches.map(fetch => [fetch, prune([fetch], name => feeds.includes(name))]);
  const executed = prune(fetches, name => feeds.includes(name)), withoutFeeds = prune(fetches, () => false);
  const without = feeds.map(feed => [feed, prune(fetches, name => name !== feed && feeds.includes(name))]);
  return ({ operations: own }) => {
    const has = found => own.some(operation => found.has(operation));
    const those = found => found.filter(([, set]) => has(set)).map(([name]) => name);
    const fed = feeds.filter(name => own.includes(producer(name)));
    const found = { count: own.filter(operation => executed.has(operation)).length, isFed: fed.length > 0,
                    isFetched: fetches.some(name => own.includes(producer(name))) };
    if (found.count) {
      const names = those(needing), isAll = names.length > 1 && names.length === fetches.length;
      return { ...found, why: isAll ? "for all fetches" : `for ${listed(names)}`,
               sentence: `${shown.errors.length ? "Would run" : "Runs"} because ${listed(names)} ${names.length > 1 ? "need" : "needs"} it.` };
    }
    if (!has(withoutFeeds)) {
      return { ...found, why: fed.length ? "fed" : "not needed", sentence: "Does not run: no fetch needs it." };
    }
    // A single feed that cuts the line off; if any of several would, all.
    const cutting = fed.length ? fed : those(without), names = cutting.length ? cutting : feeds;
    return { ...found, why: fed.length ? "fed" : `${listed(names)} ${names.length > 1 ? "are" : "is"} fed`,
             sentence: `Does not run: ${listed(names)} ${names.length > 1 ? "are" : "is"} fed.` };
  };
}
