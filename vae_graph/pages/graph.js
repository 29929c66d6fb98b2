"use strict";

// The page as a whole: what is chosen, and what is shown of the run.

let trained = null;
const isNarrow = matchMedia("(max-width: 999px)");

// ---- Choosing fetches, feeds and the selected operation.

function flipFetch(name) {
  run.fetches = run.fetches.includes(name) ? run.fetches.filter(other => other !== name) : [...run.fetches, name];
  refresh();
}

function flipFeed(name, spec) {
  if (!run.feeds.delete(name)) {
    const feed = newFeed(name, shown.values.get(name) ?? unfedValue(name));
    run.feeds.set(name, spec === undefined ? feed : { ...feed, spec });
  }
  fedFields = "";
  refresh();
}

function select(operation, line = lines[operation.line]) {
  showUntil(shown.executed);
  mark(operation, line);
}

function mark(operation, line = lines[operation.line]) {
  const isOther = line !== run.line || operation.group !== run.selected?.group;
  [run.selected, run.line] = [operation, line];
  $("unknown").textContent = "";
  reveal(line);
  showSelection();
  if (isOther) $("details").scrollTop = 0;
  line.row.scrollIntoView({ block: "nearest" });
}

function openRun({ fetches, feeds, selected }) {
  stop();
  run.fetches = [...fetches];
  run.feeds = new Map(feeds.map(([name, spec]) => [name, { spec }]));
  for (const [name, feed] of run.feeds) {
    if (feed.spec === "value" && !isText(name)) run.feeds.set(name, newFeed(name, unfedValue(name)));
    else if (typeof feed.spec === "number") feed.kept = unfedValue(name);
  }
  run.selected = selected ? producer(selected) : null;
  run.line = selected ? lines[run.selected.line] : null;
  [isTwice, moved, fedFields] = [false, null, ""];
  forgetLosses();
  const [, ...others] = lines.filter(({ calls, caller }) => calls.length && caller === null);
  const executed = prune(run.fetches, name => run.feeds.has(name));
  closed.clear();
  for (const line of others) {
    if (!line.operations.some(operation => executed.has(operation) || operation === run.selected)) closed.add(line);
  }
  buildLines();
  refresh();
}

// ---- What is shown.

let visited = null;                                            // the scene of which the run is a variant
let fedFields = "";                                            // those that are there: they stay while one is used

function show() {
  keepFocus(showRun);
}

function showRun() {
  const scene = sceneShown(), update = isUpdate();
  $("scenes").replaceChildren(...data.scenes.map(other => item(
    button(`${other.number} ${other.title}`, () => visit(other), { ariaPressed: other === scene }))));
  visited = scene ?? visited;
  $("scene-text").textContent = scene?.text ?? (visited ? `Changed from scene ${visited.number}. ${visited.text}`
    : "Your own run. Select a line or an operation, then fetch or feed its output.");
  $("code").textContent = scene && hasFirstImages() ? scene.code : codeOf();
  $("unknown").textContent = "";
  $("fetches").replaceChildren(...run.fetches.map(name =>
    item(removable(name, () => flipFetch(name), `Do not fetch ${name}`))));
  showFeeds();
  $("again").textContent = update ? "Run" : "Run again";
  for (const id of ["again", "ten", "hundred", "twice"]) $(id).disabled = !run.fetches.length || shown.errors.length > 0;
  $("undo").hidden = !update && !past.length;
  $("undo").disabled = !past.length;
  const { what, times } = past.at(-1) ?? {};
  $("undo").textContent = past.length ? `Undo ${what}${times > 1 ? ` (${times} times)` : ""}` : "Undo";
  $("ten").hidden = $("hundred").hidden = !runsAny(["ResourceApplyAdam"]);
  $("noise").hidden = !run.feeds.has(NOISE) && !shown.executed.has(producer(NOISE));
  $("twice").hidden = update || !runsAny(RANDOM);
  $("twice").setAttribute("aria-pressed", isTwice);
  $("noise").setAttribute("aria-pressed", run.feeds.has(NOISE));
  $("counts").textContent = `${shown.executed.size} of ${operations.size} operations `
    + `${shown.errors.length ? "would run" : "run"}, with graph optimization off`
    + `${update && !shown.isKept && !shown.errors.length ? ". A preview: press Run to keep what it changes" : ""}`
    + `${session.files.size ? `. Saved: ${[...session.files.keys()].join(", ")}` : ""}`;
  const isChanged = [...trained].some(([name, value]) => session.variables.get(name) !== value);
  $("name").textContent = `${data.name}${isChanged ? ", changed" : ""}`;
  $("errors").textContent = shown.errors.join("\n");
  $("missing").replaceChildren(...shown.missing.map(({ name }) => `${name}:0`).map(name =>
    button(`Feed ${meaning(name)}`, () => flipFeed(name))));
  document.querySelector("main").classList.toggle("failed", shown.errors.length > 0);
  for (const verb of document.querySelectorAll(".verb")) verb.textContent = shown.errors.length ? "would run" : "run";
  showResults();
  showTraining(runsAny(UPDATES) && !shown.errors.length);
  areVariablesShown = false;
  showLines();
  showSelected();
}

function showSelection() {
  keepFocus(showSelected);
}

function showSelected() {
  markLine();
  placeDetails();
  showDetails();
  showPosition();
  showAddress();
}

const showAddress = throttled(() => {
  const isLeaving = isOfScene(location.hash) && !isOfScene(address());          // Back leads to the scene
  history[isLeaving ? "pushState" : "replaceState"](null, "", address());
});

// What shows anew may replace the element that has the focus: by one in the same place with the same name.
function keepFocus(action) {
  const focused = document.activeElement, box = focused.closest("[id]");
  const nameOf = one => one.ariaLabel ?? one.textContent;
  action();
  if (focused.isConnected || !box) return;
  const others = [...$(box.id).querySelectorAll("button, g, input")];
  others.find(other => nameOf(other) === nameOf(focused))?.focus({ preventScroll: true });
}

// Beside the lines; on a narrow screen, below the selected one.
function placeDetails() {
  const parent = isNarrow.matches && run.line ? run.line.row.parentElement : document.querySelector("main");
  const focused = document.activeElement;
  if ($("details").parentElement === parent) return;
  parent.append($("details"));
  focused.focus({ preventScroll: true });
}

function showFeeds() {
  const fields = JSON.stringify([...run.feeds].map(([name, { spec }]) =>
    [name, typeof spec === "string" ? spec : shapeOf(spec), images.drawn !== null]));
  if (fields === fedFields) return;
  fedFields = fields;
  $("feeds").replaceChildren(...[...run.feeds].map(([name, feed]) => item(
    removable(name, () => flipFeed(name), `Do not feed ${name}`),
    editor(name, feed, (spec, isRebuilt) => {
      feed.spec = spec;
      if (isRebuilt) fedFields = "";
      if (name === data.names.X) forgetLosses();
      schedule();
    }))));
}

function removable(name, onclick, title) {
  const made = button(meaning(name), onclick, { title });
  made.append(element("span", { className: "remove", textContent: " ×" }));
  return made;
}

function item(...content) {
  const entry = element("li");
  entry.append(...content);
  return entry;
}

// Of an operation, None.
function showResults() {
  $("results").replaceChildren(...(shown.errors.length ? [] : run.fetches).map(name => {
    const box = element("figure"), isOperation = operations.has(name);
    const found = isPending(name) ? [] : [shown.values.get(name), shown.again?.get(name)].filter(Boolean);
    const caption = element("figcaption");
    const texts = found.map(value => hasPicture(value) ? `[${value.shape}]` : facts(value));
    caption.append(element("b", { textContent: meaning(name) }),
                   ` ${isOperation && !isPending(name) ? "None" : texts.join(" and ")}`);
    box.append(...found.filter(hasPicture).map(value => enlarged(value, meaning(name))), caption);
    return box;
  }));
}

// ---- Search.

function find(text) {
  const words = text.trim().toLowerCase(), all = [...operations.values()];
  const named = [...meanings].find(([, name]) => name.toLowerCase() === words)?.[0];
  if (!words) return undefined;
  return named ? producer(named) : producer(text.trim())
    ?? all.find(({ name }) => name.toLowerCase().endsWith(`/${words}`))
    ?? all.find(({ name }) => name.toLowerCase().includes(words));
}

// ---- Starting.

function openScene({ fetches, feeds, selected }) {
  images.drawn = null;
  openRun({ fetches, feeds: Object.entries(feeds), selected });
}

function visit(scene) {                                        // Back leads to what was shown before
  if (hasAddress) history.pushState(null, "", `#scene-${scene.number}`);
  openScene(scene);
}

function openAddress() {
  visited = null;
  try {
    openRun(atAddress(location.hash));
  } catch (error) {
    if (!(error instanceof AddressError)) throw error;
    openScene({ fetches: [], feeds: {}, selected: null });
    $("unknown").textContent = error.message;
  }
}

async function start() {
  const variables = new Map();
  for (const [name, numbers] of Object.entries(data.weights)) {
    const { shape } = outputOf(`${name}/Read/ReadVariableOp:0`);
    variables.set(name, { shape, data: fromFloat16(await unpack(numbers)) });
  }
  images.pixels = new Uint8Array(await unpack(data.images));
  images.count = Math.min(images.count, totalImages());
  trained = new Map(variables);
  session = new Session(variables);
  // The slots, the beta powers and the step counter have their initial values.
  session.run(data.operations.filter(({ type, name }) => type === "AssignVariableOp" && name.endsWith("/Assign")
    && !variables.has(name.replace("/Assign", ""))).map(({ name }) => name), new Map());
  const names = [...new Set(meanings.values()), ...operations.keys()];
  $("names").append(...names.map(value => element("option", { value })));
  for (const [id, action] of Object.entries({
    again: runAgain, ten: () => runSteps(10), hundred: () => runSteps(100), undo,
    previous: () => step(-1), next: () => step(1), play,
    noise: () => flipFeed(NOISE, 0), twice: () => { isTwice = !isTwice; refresh(); },
    whole: () => { isWhole = !isWhole; showDetails(); } })) {
    $(id).addEventListener("click", action);
  }
  $("position").addEventListener("input", () => goTo($("position").valueAsNumber - 1));
  $("speed").addEventListener("change", () => { if (timer) [1, 2].forEach(play); });
  $("search").addEventListener("change", () => {
    const found = find($("search").value);
    if (found) select(found);
    $("unknown").textContent = found || !$("search").value.trim() ? "" : `The graph has no ${$("search").value}.`;
    if (found) $("search").value = "";                         // so that the same name can be found again
  });
  isNarrow.addEventListener("change", placeDetails);
  window.addEventListener("hashchange", () => { if (location.hash !== address()) openAddress(); });
  document.querySelector("main").hidden = false;
  openAddress();
}

start();
