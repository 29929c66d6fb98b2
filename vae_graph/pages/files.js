"use strict";

// Files that are dropped on the page or chosen: the checkpoints among them, and what is said of those that are not shown.

const MAX_FILE_SIZE = 2 ** 31, MAX_FILES = 10_000;

// ---- What was dropped. A folder stands for all files in it.

async function dropped(transfer) {           // all items are read at once: they are there only while the event is handled
  const things = await Promise.all(Array.from(transfer.items, item => {
    const entry = item.webkitGetAsEntry?.();
    if (!entry?.isDirectory) return item.getAsFile();
    // Chromium gives no files of an entry to a page that was opened as a file, and Firefox has no handles.
    return item.getAsFileSystemHandle?.() ?? entry;
  }));
  return filesOf(things.filter(Boolean));
}

async function filesOf(things, folder = "") {                        // [path, File] of each file
  const files = [];
  for (const thing of things) {
    if (thing instanceof File) files.push([folder + thing.name, thing]);
    else files.push(...await filesOf(await contentOf(thing), `${folder}${thing.name}/`));
    if (files.length > MAX_FILES) throw new CheckpointError(`more than ${MAX_FILES} files`);
  }
  return files;
}

async function contentOf(folder) {           // a handle or an entry
  const content = [];
  if (folder.values) {
    for await (const handle of folder.values()) content.push(handle.kind === "file" ? await handle.getFile() : handle);
    return content;
  }
  const called = (object, method) => new Promise((resolve, reject) => object[method](resolve, reject));
  const reader = folder.createReader();
  for (let entries = [null]; entries.length;) {                      // it gives some at a time, and none at the end
    entries = await called(reader, "readEntries");
    for (const entry of entries) content.push(entry.isFile ? await called(entry, "file") : entry);
  }
  return content;
}

// ---- The checkpoints among the files.

async function checkpointsAmong(files) {     // each is the files of one, those of the highest number last
  const prefixes = new Map(), paths = new Set(), twice = files.find(([path]) => paths.size === paths.add(path).size);
  if (twice) throw new CheckpointError(`two files ${twice[0]}; open one checkpoint after the other`);
  for (const [path, file] of files) {
    if (path.endsWith(".index")) prefixes.set(path.slice(0, -".index".length), []);
    if (!isPart(path) && await endsAsTable(file)) prefixes.set(path, []);
  }
  for (const [path, file] of files) {
    prefixes.get(path.replace(/\.(index|data-\d{5}-of-\d{5})$/, ""))?.push([path, file]);
  }
  const number = path => Number(path.match(/\d+(?=\D*$)/)?.[0] ?? -1);               // the last one, as in my_model-1000
  return [...prefixes].sort(([a], [b]) => number(a) - number(b)).map(([, parts]) => parts);
}

async function endsAsTable(file) {           // as the single file of TensorFlow 0.x does
  const end = new DataView(await file.slice(-8).arrayBuffer());
  return end.byteLength === 8 && end.getBigUint64(0, true) === MAGIC;
}

async function readModel(files) {
  const contents = {};
  for (const [path, file] of files) {
    if (file.size > MAX_FILE_SIZE) throw new CheckpointError(`${path} of ${file.size} bytes`);
    if (!path.endsWith(".meta")) contents[path] = new Uint8Array(await file.arrayBuffer());
  }
  const { name, format, variables } = readCheckpoint(contents), { sizes, weights } = networkIn(variables);
  if (sizes.input !== 784) throw new CheckpointError(`a network for images of ${sizes.input} pixels`);
  const step = stepOf(variables);
  return { name, sizes, weights, variables, facts: `format ${format}, ${step === undefined ? "no step counter" : `step ${step}`}` };
}

// Shows one checkpoint beside the first model, or two in place of all models.
async function openFiles(files) {            // a promise of them
  say("");
  const found = [], sentences = [];
  const refuse = (name, error) => sentences.push(`${name}: expected a checkpoint of this network, found `
    + `${error instanceof CheckpointError ? error.message : "a file that cannot be read"}`);
  try {
    files = await files;
    const candidates = await checkpointsAmong(files);
    // Without one, all files together say what is missing.
    for (const parts of candidates.length ? candidates.reverse() : [files]) {
      if (found.length === MAX_MODELS) break;
      await readModel(parts).then(model => found.unshift(model), error => refuse(parts[0]?.[0] ?? "what was dropped", error));
    }
    const others = candidates.length - found.length - sentences.length;
    if (others > 0) {
      sentences.unshift(`Opened ${found.map(({ name }) => name).join(" and ")}, of the highest numbers among `
        + `${candidates.length} checkpoints: the page shows ${MAX_MODELS}.`);
    }
  } catch (error) {
    refuse("what was dropped", error);
  }
  say(sentences.join("\n"));
  if (found.length) showModelsToo(found);
}

function say(text) {                         // where it is seen, wherever the files were dropped
  $("error").textContent = text;
  $("message").hidden = !text;
}
