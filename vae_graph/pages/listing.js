"use strict";

// The lines on the page: which of their operations run, and what they compute.

const closed = new Set();                                      // lines that do not show those that they call

function buildLines() {
  document.querySelector("main").append($("details"));         // which may be in a line
  $("lines").replaceChildren(...lines.map(line => {
    const part = (className, textContent = "") => element("span", { className, textContent });
    line.parts = { count: part("count"), why: part("why"), shape: part("shape"), picture: part("picture") };
    line.row = button("", () => select(line.result, line), { className: "row" });
    line.row.append(line.parts.count, part("number", String(line.number)), element("code", { textContent: line.code }),
                    line.parts.why, line.parts.shape, line.parts.picture);
    const entry = item(...(line.calls.length ? [foldButton(line)] : []), line.row);
    entry.style.setProperty("--depth", line.depth);
    entry.hidden = isHidden(line);
    return entry;
  }));
}

const isHidden = ({ caller }) => caller !== null && (closed.has(lines[caller]) || isHidden(lines[caller]));

function foldButton(line) {
  const isOpen = !closed.has(line);
  return button(isOpen ? "▾" : "▸", () => {
    if (!closed.delete(line)) closed.add(line);
    buildLines();
    showLines();
    showSelection();
    line.row.previousSibling.focus();
  }, { className: "fold", ariaExpanded: isOpen, ariaLabel: `Lines called in line ${line.number}` });
}

function reveal(line) {                                        // opens the lines that hide it
  const callers = [];
  for (let { caller } = line; caller !== null; { caller } = lines[caller]) callers.push(lines[caller]);
  if (!callers.filter(other => closed.delete(other)).length) return;
  buildLines();
  showLines();
}

function showLines() {
  const reasonOf = reasons(run.fetches, [...run.feeds.keys()]);
  for (const line of lines) {
    line.reason = reasonOf(line);
    const { why, sentence } = line.reason, total = line.operations.length;
    const count = line.operations.filter(operation => shown.done.has(operation)).length;
    // What is fed or fetched is marked at its own line, if that is shown.
    const isOwn = !line.calls.length || closed.has(line);
    line.row.className = `row ${count === total ? "all" : count ? "some" : "none"}`
      + `${isOwn && line.reason.isFed ? " fed" : ""}${isOwn && line.reason.isFetched ? " fetched" : ""}`;
    line.row.style.setProperty("--share", `${100 * count / total}%`);
    line.row.title = `${place(line)}. ${sentence}`;
    line.parts.count.textContent = count === total ? String(total) : `${count}/${total}`;
    line.parts.why.textContent = why;
    showValue(line);
  }
}

function showValue({ name: lineName, result, parts }) {
  const name = `${result.name}:0`, value = valueOf(name), shape = value?.shape ?? result.outputs[0]?.shape;
  const named = lineName ? "" : meanings.get(name) ?? "";        // which of the several that the line assigns
  parts.shape.textContent = shape ? `${named && `${named}: `}[${shape.map(size => size ?? "?")}]` : "";
  const picture = value && (value.data.length > 3 ? thumbnail(value, meaning(name)) : facts(value));
  parts.picture.replaceChildren(picture ?? "");
}

function thumbnail(value, name) {
  const canvas = pictureOf(value, name);
  canvas.ariaHidden = true;
  canvas.style.width = `${canvas.height === SIDE ? Math.min(74, canvas.width * 17 / SIDE) : 74}px`;
  return canvas;
}

function markLine() {
  for (const line of lines) {
    line.row.setAttribute("aria-current", line === run.line);
    line.row.tabIndex = -1;
  }
  let reachable = run.line ?? lines[0];                        // by Tab
  while (isHidden(reachable)) reachable = lines[reachable.caller];
  reachable.row.tabIndex = 0;
}

$("lines").addEventListener("keydown", event => {
  const step = hasModifier(event) ? 0 : { ArrowDown: 1, ArrowUp: -1 }[event.key];
  const rows = lines.filter(line => !isHidden(line));
  const at = rows.findIndex(({ row }) => row === document.activeElement), next = rows[at + step];
  if (at < 0 || !next) return;
  event.preventDefault();
  select(next.result, next);
  next.row.focus();
});
