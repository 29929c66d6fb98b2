"use strict";

// Stepping through the operations in the order in which they ran.

let timer = null;

// The lines and the graph show the operations of a run up to a step, as a set.
function showUntil(done) {
  if (done === shown.done) return;
  shown.done = done;
  showLines();
  showResults();
}

function showPosition() {
  const position = shown.done === shown.executed ? -1 : shown.done.size - 1;
  for (const id of ["previous", "next", "play", "position"]) $(id).disabled = !shown.order.length;
  if (position === shown.order.length - 1) $("next").disabled = true;
  $("position").max = shown.order.length;
  $("position").value = position < 0 ? shown.order.length : position + 1;
  $("step").textContent = position < 0 ? `${shown.order.length} steps` : `${position + 1} of ${shown.order.length}`;
}

// From the selected operation; if it did not run, from the first that runs of those created after it.
function step(by) {
  const { order } = shown, position = order.indexOf(run.selected);
  const after = order.findIndex(({ number }) => number > (run.selected?.number ?? -1));
  const between = after < 0 ? order.length : after;
  const isFinished = shown.done === shown.executed && position === order.length - 1;
  if (isFinished && by > 0) goTo(0);                           // steps through the run that is shown as a whole
  else goTo(position < 0 ? (by > 0 ? between : between - 1) : position + by);
}

function goTo(position) {
  const operation = shown.order[position];
  if (!operation) return stop();
  showUntil(new Set(shown.order.slice(0, position + 1)));
  mark(operation);
  const [first] = operation.outputs, value = first && shown.values.get(`${operation.name}:0`);
  $("announcement").textContent = `Step ${position + 1} of ${shown.order.length}: ${operation.name}, ${operation.type}`
    + `${value ? `, [${value.shape}]` : ""}. ${place(lines[operation.line])}`;
}

function stop() {
  clearInterval(timer);
  timer = null;
  $("play").setAttribute("aria-pressed", "false");
}

function play() {
  if (timer) return stop();
  if (shown.order.at(-1) === run.selected) run.selected = null;
  timer = setInterval(() => step(1), 1000 / Number($("speed").value));
  $("play").setAttribute("aria-pressed", "true");
}
