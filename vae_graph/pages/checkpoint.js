"use strict";

// A checkpoint's variables, read in the browser: what vae_graph/checkpoints/table.py, protobuf.py and variables.py do,
// for the types that this network has. Format V2 is an index and files of data; V1, of TensorFlow 0.x, a single file.

class CheckpointError extends Error {}

const TYPES = ["", "float32", "float64", "int32", "uint8", "int16", "int8", "string", "complex64", "int64", "bool",
  "qint8", "quint8", "qint32", "bfloat16", "qint16", "quint16", "uint16", "complex128", "float16", "resource", "variant",
  "uint32", "uint64"];
const ARRAYS = { float32: Float32Array, int32: Int32Array, int64: BigInt64Array };
const FOOTER_SIZE = 48, MAGIC = 0xdb4775248b80fb57n, MAX_KEY_SIZE = 2 ** 16, MAX_KEYS_SIZE = 10_000_000;

function damaged() {
  return new CheckpointError("a damaged table");
}

// ---- Checksums: CRC-32C, masked as in LevelDB.

const CRC_TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  for (let bit = 0; bit < 8; bit++) byte = byte & 1 ? byte >>> 1 ^ 0x82f63b78 : byte >>> 1;
  return byte;
});

function maskedCrc32c(bytes) {
  let crc = 0xffffffff;
  for (let i = 0; i < bytes.length; i++) crc = CRC_TABLE[(crc ^ bytes[i]) & 255] ^ crc >>> 8;
  crc = ~crc >>> 0;
  return ((crc >>> 15 | crc << 17) + 0xa282ead8) >>> 0;
}

// ---- Protocol buffers.

function uint32(bytes, at) {                                         // little-endian
  if (at < 0 || at + 4 > bytes.length) throw damaged();
  return new DataView(bytes.buffer, bytes.byteOffset + at).getUint32(0, true);
}

function varint(bytes, at) {                                         // [a signed integer of 64 bits, the offset after it]
  let value = 0n;
  for (let shift = 0n; shift < 70n && at < bytes.length; shift += 7n) {
    const byte = bytes[at++];
    value |= BigInt(byte & 127) << shift;
    if (byte < 128) return [Number(BigInt.asIntN(64, value)), at];
  }
  throw damaged();
}

function message(bytes) {                                            // the values of each field: numbers, or bytes
  const fields = new Map();
  for (let at = 0; at < bytes.length;) {
    let key, value;
    [key, at] = varint(bytes, at);
    const kind = key & 7;
    if (kind === 0) {
      [value, at] = varint(bytes, at);
    } else {
      let size = { 1: 8, 5: 4 }[kind];
      if (kind === 2) [size, at] = varint(bytes, at);
      if (!(size >= 0 && at + size <= bytes.length)) throw damaged();
      value = bytes.subarray(at, at += size);
    }
    const field = Math.floor(key / 8);
    if (!fields.has(field)) fields.set(field, []);
    fields.get(field).push(value);
  }
  return fields;
}

function integer(fields, field) {                                    // 0 if it is absent; a fixed32 is bytes
  const value = fields.get(field)?.at(-1) ?? 0;
  return typeof value === "number" ? value : uint32(value, 0);
}

function bytesOf(fields, field) {                                    // the values, packed
  const values = fields.get(field) ?? [];
  if (values.some(value => typeof value === "number")) throw damaged();
  if (values.length === 1) return values[0];
  const packed = new Uint8Array(values.reduce((size, value) => size + value.length, 0));
  values.reduce((at, value) => (packed.set(value, at), at + value.length), 0);
  return packed;
}

const submessage = (fields, field) => message(bytesOf(fields, field));
const submessages = (fields, field) => (fields.get(field) ?? []).filter(value => typeof value !== "number").map(message);

// ---- Tables: blocks of keys and values, an index of the blocks, a footer.

function* blockEntries(bytes, [start, size]) {
  const end = start + size;
  if (!(start >= 0 && size >= 0 && end + 5 <= bytes.length)) throw damaged();
  if (maskedCrc32c(bytes.subarray(start, end + 1)) !== uint32(bytes, end + 1)) {
    throw new CheckpointError("a table whose checksum does not match");
  }
  if (bytes[end]) throw new CheckpointError("a compressed table, which TensorFlow does not write");
  const block = bytes.subarray(start, end), entriesEnd = size - 4 * (uint32(block, size - 4) + 1);
  if (entriesEnd < 0) throw damaged();
  let key = new Uint8Array(0);
  for (let at = 0; at < entriesEnd;) {
    let shared, unshared, valueSize;
    [shared, at] = varint(block, at);
    [unshared, at] = varint(block, at);
    [valueSize, at] = varint(block, at);
    if (Math.min(shared, unshared, valueSize) < 0 || shared > key.length || at + unshared + valueSize > entriesEnd) {
      throw damaged();
    }
    if (shared + unshared > MAX_KEY_SIZE) throw new CheckpointError("names that are too long");
    const next = new Uint8Array(shared + unshared);
    next.set(key.subarray(0, shared));
    next.set(block.subarray(at, at + unshared), shared);
    key = next;
    at += unshared + valueSize;
    yield [key, block.subarray(at - valueSize, at)];
  }
}

function handle(bytes, at) {                                         // [[start, size] of a block, the offset after it]
  let start, size;
  [start, at] = varint(bytes, at);
  [size, at] = varint(bytes, at);
  return [[start, size], at];
}

function isBefore(a, b) {                                            // in the order of keys
  for (let i = 0; i < Math.min(a.length, b.length); i++) if (a[i] !== b[i]) return a[i] < b[i];
  return a.length < b.length;
}

function* tableEntries(bytes) {                                      // [key, value], bytes each, keys ascending
  const footer = bytes.subarray(-FOOTER_SIZE);
  if (footer.length < FOOTER_SIZE
      || new DataView(footer.buffer, footer.byteOffset + 40).getBigUint64(0, true) !== MAGIC) {
    throw new CheckpointError("a file that is not a checkpoint");
  }
  const [, afterMetaindex] = handle(footer, 0), [index] = handle(footer, afterMetaindex);
  let end = 0, budget = MAX_KEYS_SIZE, previous = null;
  for (const [, value] of blockEntries(bytes, index)) {
    const [block] = handle(value, 0);
    if (block[0] < end) throw damaged();                             // blocks are consecutive
    end = block[0] + block[1];
    for (const [key, content] of blockEntries(bytes, block)) {
      budget -= key.length;
      if (budget < 0) throw new CheckpointError("names that are too long");
      if (previous && !isBefore(previous, key)) throw damaged();
      previous = key;
      yield [key, content];
    }
  }
}

function openTable(bytes) {                                          // its header, and the other entries
  const entries = tableEntries(bytes), first = entries.next().value;
  if (!first || first[0].length) throw new CheckpointError("a table without a header");
  return [message(first[1]), entries];
}

// ---- Variables.

function text(bytes) {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    throw new CheckpointError("a name that is not UTF-8");
  }
}

function shapeOf(fields) {
  const shape = submessages(fields, 2).map(dimension => integer(dimension, 1));
  if (integer(fields, 3) || shape.length > 254 || shape.some(size => size < 0) || !(product(shape) <= 2 ** 62)) {
    throw new CheckpointError(`a variable of shape [${shape.slice(0, 8)}]`);
  }
  return shape;
}

const product = sizes => sizes.reduce((all, size) => all * size, 1);

function valuesOf(content, type, shape) {                            // null if the type is not this network's
  const Values = ARRAYS[type];
  if (!Values) return null;
  if (content.length !== product(shape) * Values.BYTES_PER_ELEMENT) {
    throw new CheckpointError(`${product(shape)} elements of ${type} in ${content.length} bytes`);
  }
  return new Values(content.slice().buffer);
}

function readV2(files, prefix) {                                     // files: bytes by their names
  const [header, entries] = openTable(files[`${prefix}.index`]), shards = integer(header, 1);
  if (integer(submessage(header, 3), 2) > 1) throw new CheckpointError("a newer format");
  if (integer(header, 2)) throw new CheckpointError("numbers in the byte order of another machine");
  const variables = new Map();
  for (const [key, value] of entries) {
    const entry = message(value);
    // The key of a part begins with 0 and is not a text.
    if (key[0] === 0 || entry.has(7)) throw new CheckpointError("a variable that is stored in parts");
    const name = text(key), type = TYPES[integer(entry, 1)] ?? "unknown";
    const shape = shapeOf(submessage(entry, 2)), shard = integer(entry, 3);
    const [offset, size] = [integer(entry, 4), integer(entry, 5)];
    if (!ARRAYS[type]) {
      variables.set(name, { type, shape, values: null });
      continue;
    }
    const [number, of] = [shard, shards].map(number => `${number}`.padStart(5, "0"));
    const data = files[`${prefix}.data-${number}-of-${of}`];         // one of another number of shards is of another save
    if (!data) throw new CheckpointError(`no file .data-${number}-of-${of} beside the .index`);
    if (!(offset >= 0 && size >= 0 && offset + size <= data.length)) {
      throw new CheckpointError(`${size} bytes at ${offset} of the ${data.length} bytes of data`);
    }
    const content = data.subarray(offset, offset + size), values = valuesOf(content, type, shape);
    if (maskedCrc32c(content) !== integer(entry, 6)) {
      throw new CheckpointError(`a variable ${name} whose checksum does not match`);
    }
    variables.set(name, { type, shape, values });
  }
  return variables;
}

function readV1(file) {
  const [header, entries] = openTable(file), stored = new Map();
  for (const [, value] of entries) {
    const part = submessage(message(value), 2), name = text(bytesOf(part, 1));
    if (stored.has(name)) throw new CheckpointError("a variable that is stored in parts");
    stored.set(name, part);
  }
  const variables = new Map();
  for (const variable of submessages(submessage(header, 1), 1)) {
    const name = text(bytesOf(variable, 1)), type = TYPES[integer(variable, 3)] ?? "unknown";
    const shape = shapeOf(submessage(variable, 2));
    if (variables.has(name)) throw new CheckpointError(`the variable ${name} twice`);
    let content = new Uint8Array(0);
    if (ARRAYS[type]) {
      if (!stored.has(name)) throw new CheckpointError(`a variable ${name} without values`);
      const tensor = submessage(stored.get(name), 3);
      content = type === "float32" ? bytesOf(tensor, 5)
        : type === "int32" ? packedIntegers(bytesOf(tensor, 7), Int32Array, Number)
        : packedIntegers(bytesOf(tensor, 10), BigInt64Array, BigInt);
    }
    variables.set(name, { type, shape, values: valuesOf(content, type, shape) });
  }
  return variables;
}

function packedIntegers(bytes, Values, convert) {                    // as the bytes of an array
  const numbers = [];
  for (let at = 0, value; at < bytes.length;) {
    [value, at] = varint(bytes, at);
    numbers.push(convert(value));
  }
  return new Uint8Array(Values.from(numbers).buffer);
}

// ---- The network in them: what vae_graph/checkpoints/reading.py validates.

const UNIT_SIZES = { input: 1, encoder: 1, z: 1, decoder: 1 };

function modelShapes({ input, encoder, z, decoder }) {
  return {
    "encoder_hidden_1/w1": [input, encoder], "encoder_hidden_1/b1": [encoder],
    "encoder_hidden_2/w2": [encoder, encoder], "encoder_hidden_2/b2": [encoder],
    "encoder_z/w3": [encoder, 2 * z], "encoder_z/b3": [2 * z],
    "decoder_hidden_1/w4": [z, decoder], "decoder_hidden_1/b4": [decoder],
    "decoder_hidden_2/w5": [decoder, decoder], "decoder_hidden_2/b5": [decoder],
    "decoder_output/w6": [decoder, input], "decoder_output/b6": [input],
  };
}

function networkIn(variables) {                                      // its sizes and weights, by their names
  for (const name of Object.keys(modelShapes(UNIT_SIZES))) {
    if (!variables.has(name)) throw new CheckpointError(`no variable ${name}`);
  }
  const [w1, w4] = ["encoder_hidden_1/w1", "decoder_hidden_1/w4"].map(name => variables.get(name).shape);
  if (w1.length !== 2 || w4.length !== 2) throw new CheckpointError("weights that are not matrices");
  const sizes = { input: w1[0], encoder: w1[1], z: w4[0], decoder: w4[1] }, weights = {};
  if (Math.min(...Object.values(sizes)) < 1) throw new CheckpointError("a layer without units");
  for (const [name, expected] of Object.entries(modelShapes(sizes))) {
    const { type, shape, values } = variables.get(name);
    if (String(shape) !== String(expected)) {
      throw new CheckpointError(`${name} of shape [${shape}] where [${expected}] was expected`);
    }
    if (type !== "float32") throw new CheckpointError(`${name} of type ${type}`);
    if (!values.every(Number.isFinite)) throw new CheckpointError(`NaN or infinity in ${name}`);
    weights[name] = values;
  }
  return { sizes, weights };
}

function stepOf(variables) {                                         // "Variable" is this program's name for it
  const values = ["Variable", "global_step"].map(name => variables.get(name)?.values).find(values => values);
  return values?.length === 1 ? Number(values[0]) : undefined;
}

// Files that have no values, and the name that TensorFlow gives to the others of format V2.
const isPart = name => /\.(meta|index|data-\d{5}-of-\d{5})$/.test(name) || /(^|\/)checkpoint$/.test(name);

function readCheckpoint(files) {                                     // files: bytes by their names
  // One checkpoint: an index and its data, or a single file.
  const names = Object.keys(files), index = names.find(name => name.endsWith(".index"));
  const single = names.find(name => !isPart(name));
  try {
    if (index) {
      const name = index.slice(0, -".index".length);
      return { name, format: "V2", variables: readV2(files, name) };
    }
    if (!single) throw new CheckpointError("no .index file: choose it together with the .data file");
    return { name: single, format: "V1", variables: readV1(files[single]) };
  } catch (error) {
    if (error instanceof CheckpointError) throw error;
    throw new CheckpointError("a damaged file");                     // such as a length beyond what an array can have
  }
}
