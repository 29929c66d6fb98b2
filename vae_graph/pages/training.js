"use strict";

// Runs that change variables or write files: they can be repeated and undone. After each that changes variables the
// loss is measured, without any noise.

const MAX_UNDO = 10, NOISE = "random_normal:0";

const past = [];                                               // the states before the last runs
let losses = [], moved = null;                                 // moved: the variables before the last run
let remaining = 0, frame = 0;                                  // of the runs asked for; a request for the next

const state = () => ({ variables: new Map(session.variables), files: new Map(session.files), draw: session.draw });

function runSteps(n) {
  endSteps();
  past.push({ ...state(), losses: [...losses], what: listed(run.fetches), times: 0 });
  past.splice(0, past.length - MAX_UNDO);
  moved = past.at(-1).variables;
  remaining = n;
  runNext();
}

// Each run has a frame of its own: the loss is seen to fall, and whatever is chosen meanwhile ends them.
function runNext() {
  compute(true);
  session.draw++;
  remaining--;
  past.at(-1).times++;
  if (runsAny(UPDATES)) losses.push(measure());
  if (past.at(-1).times === 1 || remaining % 10 === 0) show();
  else drawLosses();                                           // which takes less time
  if (remaining) frame = requestAnimationFrame(runNext);
}

function endSteps() {
  cancelAnimationFrame(frame);
  remaining = 0;
}

function undo() {
  const { variables, files, draw, losses: before } = past.pop();
  Object.assign(session, { variables, files, draw });
  losses = before;
  moved = null;
  refresh();
}

function forgetLosses() {                                      // which were those of other images
  losses = [];
  for (const before of past) before.losses = [];
}

// The ELBO of the chosen images, with dropout off and z at the mean.
function measure() {
  const { X, keep_prob, ELBO } = data.names, specs = [[X, "images"], [keep_prob, 1], [NOISE, 0]];
  const feeds = specs.map(([name, spec]) => [name, fedTensor(name, { spec })]);
  return scalar(session.run([ELBO], new Map(feeds)).values.get(ELBO));
}

function showTraining(isShown) {
  $("training").hidden = !isShown;
  if (!isShown) return;
  if (!losses.length) losses.push(measure());
  const latest = losses.slice(-6).map(written).join(" → ");
  $("losses").textContent = `ELBO of the images after each step, without noise or dropout: `
    + `${losses.length > 6 ? "... → " : ""}${latest}`;
  drawLosses();
}

function drawLosses() {
  const [width, height, margin] = [480, 60, 5], { lowest, highest } = range(losses);
  const points = losses.map((loss, i) => [
    margin + i * (width - 2 * margin) / Math.max(losses.length - 1, 10),
    margin + (highest - loss) / (highest - lowest || 1) * (height - 2 * margin)]).filter(([, y]) => Number.isFinite(y));
  const chart = svg("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": "ELBO after each step" });
  chart.append(svg("polyline", { points: points.join(" ") }),
               ...points.map(([cx, cy]) => svg("circle", { cx, cy, r: 2.5 })));
  // Where a loss that falls leaves room.
  for (const [loss, x, y, anchor] of [[highest, width - 4, 12, "end"], [lowest, 4, height - 4, "start"]]) {
    const label = svg("text", { x, y, style: `text-anchor: ${anchor}` });
    label.textContent = written(loss);
    chart.append(label);
  }
  $("chart").hidden = points.length < 2;
  $("chart").replaceChildren(chart);
}

function meanSize(numbers) {
  let total = 0;
  for (let i = 0; i < numbers.length; i++) total += Math.abs(numbers[i]);
  return total / numbers.length;
}

// The variables that are trained, what the last run changed, and their slots: pictures, and means of absolute values.
function showVariables() {
  const row = (name, cells) => {
    const made = element("tr");
    made.append(...cells.map(content => {
      const cell = element(name);
      cell.append(...content);
      return cell;
    }));
    return made;
  };
  const pictured = (tensor, name) => [pictureOf(tensor, name), ` ${written(meanSize(tensor.data))}`];
  const rows = Object.keys(data.weights).map(name => {
    const { shape, data: now } = session.variables.get(name), before = moved?.get(name)?.data;
    const change = { shape, data: before ? now.map((value, i) => value - before[i]) : new Float32Array(now.length) };
    const link = button(name, () => select(producer(`Adam/update_${name}/ResourceApplyAdam`)), { className: "link" });
    return row("td", [[link], pictured({ shape, data: now }, name), pictured(change, `change of ${name}`),
                      ...[`${name}/Adam`, `${name}/Adam_1`].map(slot => pictured(session.variables.get(slot), slot))]);
  });
  const titles = ["variable", "value", "last change", "Adam", "Adam_1"].map(title => [title]);
  const caption = element("caption", {
    textContent: "Adam: running mean of the gradients. Adam_1: of their squares. The numbers are means of absolute values." });
  $("variables").replaceChildren(caption, row("th", titles), ...rows);
}
