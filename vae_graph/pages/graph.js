"use strict";

let session = null;

async function start() {
  const variables = new Map();
  for (const { name, type } of operations.values()) {
    if (type !== "VarHandleOp" || !(name in data.weights)) continue;
    const { shape } = operations.get(`${name}/Read/ReadVariableOp`).outputs[0];
    variables.set(name, { shape, data: fromFloat16(await unpack(data.weights[name])) });
  }
  session = new Session(variables);
  // The slots, the beta powers and the step counter have their initial values.
  session.run(data.operations.filter(({ type, name }) => type === "AssignVariableOp" && name.endsWith("/Assign")
    && !variables.has(name.replace("/Assign", ""))).map(({ name }) => name), new Map());
}
start();
