"use strict";

// The selected line and operation: why it runs, its values, what it reads.

const MAX_LINKS = 10;

let areVariablesShown = false;                                 // as they are since the last run

function showDetails() {
  const { selected: operation, line } = run;
  $("details").hidden = !operation;
  if (!operation) return;
  $("line-code").textContent = line.code;
  const { count, sentence } = line.reason, caller = lines[line.caller], total = line.operations.length;
  const later = line.operations.filter(other => shown.executed.has(other) && !shown.done.has(other)).length;
  $("line-why").textContent = `${place(line)}${caller ? `, called in line ${caller.number}` : ""}. ${sentence} `
    + `${count} of ${total} operations ${shown.errors.length ? "would run" : "run"}${later ? `, ${later} of them later` : ""}.`;
  $("operation-name").textContent = operation.name;
  $("operation-type").textContent = operation.type;
  $("outputs").replaceChildren(...operation.outputs.map((output, i) => tensorBox(`${operation.name}:${i}`, output)),
                               ...(operation.outputs.length ? [] : [choice("fetch", operation.name)]));
  showLinks(operation);
  showGroups(line, operation);
  drawGraph(line, operation);
}

function tensorBox(name, { dtype, shape, unfeedable }) {
  const box = element("div", { className: "tensor" }), text = element("p"), value = valueOf(name);
  const sizes = value?.shape ?? shape?.map(size => size ?? "?");
  text.append(element("b", { textContent: meaning(name) }), meanings.has(name) ? ` ${name}` : "",
              ` ${dtype} ${sizes ? `[${sizes}]` : "of any shape"}${value ? `: ${facts(value)}` : ""} `);
  if (dtype !== "resource") text.append(choice("fetch", name), " ", choice("feed", name, unfeedable));
  box.append(text);
  if (value && hasPicture(value)) box.append(enlarged(value, meaning(name), 2));
  return box;
}

const isPending = name => shown.executed.has(producer(name)) && !shown.done.has(producer(name));

// What a tensor was in the last run, up to the step that is shown; what a variable is.
function valueOf(name) {
  const { type, name: own, inputs } = producer(name);
  if (type === "VarHandleOp") return session.variables.get(own);
  const variable = type === "ReadVariableOp" ? session.variables.get(producer(inputs[0]).name) : undefined;
  return (isPending(name) ? undefined : shown.values.get(name)) ?? variable;
}

function choice(verb, name, disabled = false) {
  const isFetch = verb === "fetch", ariaPressed = isFetch ? run.fetches.includes(name) : run.feeds.has(name);
  return button(verb, () => isFetch ? flipFetch(name) : flipFeed(name),
                { ariaPressed, disabled, ariaLabel: `${verb} ${name}`, title: disabled ? "It cannot be fed" : "" });
}

// What the operation reads and waits for, and the lines that read it.
function showLinks(operation) {
  const link = (text, other) => button(text, () => select(other), { className: "link", title: other.name });
  for (const [id, names] of [["reads", operation.inputs], ["waits", operation.control]]) {
    const links = names.map(name => link(meaning(name), producer(name)));
    $(id).replaceChildren(...(links.length > MAX_LINKS ? [folded(`${links.length} operations`, links)] : links));
  }
  $("waits").parentElement.hidden = !operation.control.length;
  const reading = Map.groupBy(readers.get(operation), ({ line }) => lines[line]);
  $("readers").replaceChildren(...[...reading].map(([line, [first]]) =>
    link(line.index === operation.line ? meaning(first.name) : place(line), first)));
}

function folded(title, content) {
  const made = element("details");
  made.append(element("summary", { textContent: title }), ...content);
  return made;
}

// The operations that minimize and Saver make are in groups; those of the trained variables are in a table.
function showGroups(line, selected) {
  const groups = Map.groupBy(line.own.filter(({ group }) => group), ({ group }) => group);
  const hasTable = groups.has("Adam"), others = [...groups].filter(([name]) => !hasTable || !(name in data.weights));
  $("others").hidden = !groups.size;
  $("variables").hidden = !hasTable;
  if (hasTable && !areVariablesShown) showVariables();
  areVariablesShown ||= hasTable;
  $("group-list").replaceChildren(...others.map(([name, own]) => {
    const count = own.filter(operation => shown.done.has(operation)).length;
    return button(name, () => select(own.findLast(({ outputs }) => outputs.length) ?? own.at(-1)), {
      className: count === own.length ? "all" : count ? "some" : "none", ariaPressed: name === selected.group,
      title: `${count} of ${own.length} operations run` });
  }));
}
