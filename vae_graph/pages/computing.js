"use strict";

// Computing the run that is shown.

let session = null, isTwice = false, isScheduled = false;

// The last run. executed: its operations; done: those up to the step that is shown; missing: the placeholders to feed;
// isKept: what it changed stays changed.
let shown = { executed: new Set(), done: new Set(), order: [], values: new Map(), again: null, errors: [], missing: [],
              isKept: false };

const UPDATES = ["AssignVariableOp", "AssignAddVariableOp", "ResourceApplyAdam"];
const RANDOM = ["RandomUniform", "RandomStandardNormal"];

const runsAny = types => [...shown.executed].some(({ type }) => types.includes(type));
const isUpdate = () => runsAny([...UPDATES, "SaveV2"]);

// Runs what is fetched. What it changes is kept only if it is to be: else the run is one to look at.
function compute(isKept) {
  const executed = prune(run.fetches, name => run.feeds.has(name)), before = state();
  const missing = inOrder(executed).filter(({ type }) => type === "Placeholder");
  shown = { executed, done: executed, order: [], values: new Map(), again: null, errors: [], missing, isKept };
  try {
    for (const operation of missing) attempt(() => OPERATIONS.Placeholder([], operation));
    if (missing.length) return;
    const feeds = new Map([...run.feeds].map(([name, feed]) => [name, fedTensor(name, feed)]));
    attempt(() => Object.assign(shown, session.run(run.fetches, feeds)));
    if (isTwice && !isUpdate() && !shown.errors.length) {
      session.draw++;
      attempt(() => { shown.again = session.run(run.fetches, feeds).values; });
    }
  } finally {
    if (!isKept) Object.assign(session, before);
  }
}

function attempt(action) {
  try {
    action();
  } catch (error) {
    if (!(error instanceof TensorError)) throw error;
    shown.errors.push(`${error.operation ? `${error.operation.name}: ` : ""}${error.message}`);
  }
}

function runAgain() {
  if (isUpdate()) return runSteps(1);
  session.draw += isTwice ? 2 : 1;
  refresh();
}

function refresh() {
  endSteps();
  compute(false);
  show();
}

function schedule() {                                          // sliders change more often than a picture can be drawn
  endSteps();
  if (isScheduled) return;
  isScheduled = true;
  requestAnimationFrame(() => {
    isScheduled = false;
    refresh();
  });
}

// The value that a tensor would have: undefined if it cannot be computed.
function unfedValue(name) {
  const before = state();
  const feeds = [...run.feeds].filter(([other, { spec, kept }]) =>
    other !== name && (spec !== "value" || kept || isText(other)));
  try {
    return session.run([name], new Map(feeds.map(([other, feed]) => [other, fedTensor(other, feed)]))).values.get(name);
  } catch (error) {
    if (!(error instanceof TensorError)) throw error;
    return undefined;
  } finally {
    Object.assign(session, before);
  }
}
