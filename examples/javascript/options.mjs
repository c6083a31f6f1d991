// Make the optional inputs of a model.onnx settable from JavaScript.
//
// A model.onnx has a default for every option: an initializer with the name of an input. Python, C
// and C++ may feed such an input or leave it out; onnxruntime-web refuses to take it at all. Without
// the initializer it is an ordinary input, so the defaults are taken out of the file's bytes here
// and handed back as tensors: run({ ...defaults, text, seed }).

const VARINT = 0;
const FIXED64 = 1;
const BYTES = 2;
const FIXED32 = 5;

// Field numbers of onnx.proto.
const MODEL = { graph: 7 };
const GRAPH = { initializer: 5, input: 11 };
const VALUE = { name: 1 };
const TENSOR = { dims: 1, type: 2, floats: 4, int32s: 5, int64s: 7, name: 8, raw: 9 };

const ARRAYS = {
  1: ["float32", Float32Array],
  6: ["int32", Int32Array],
  7: ["int64", BigInt64Array],
  9: ["bool", Uint8Array],
};

function varint(bytes, at) {
  let value = 0n;
  for (let shift = 0n; ; shift += 7n) {
    const byte = bytes[at++];
    value |= BigInt(byte & 127) << shift;
    if (byte < 128) return [BigInt.asIntN(64, value), at];
  }
}

/** The fields of a protobuf message: number, value or bytes, and where in the message each is. */
function* fields(bytes) {
  for (let at = 0; at < bytes.length; ) {
    const start = at;
    let key, value;
    [key, at] = varint(bytes, at);
    const wire = Number(key & 7n);
    if (wire === VARINT) [value, at] = varint(bytes, at);
    else {
      let size = BigInt(wire === FIXED64 ? 8 : 4);
      if (wire === BYTES) [size, at] = varint(bytes, at);
      else if (wire !== FIXED64 && wire !== FIXED32) throw new Error("this is not an ONNX model");
      value = bytes.subarray(at, at + Number(size));
      at += Number(size);
    }
    yield { number: Number(key >> 3n), value, start, end: at };
  }
}

const text = (bytes) => new TextDecoder().decode(bytes);

function nameOf(bytes, number) {
  for (const field of fields(bytes)) if (field.number === number) return text(field.value);
  return "";
}

const packed = function* (value) {
  if (typeof value === "bigint") yield value;
  else for (let at = 0, one; at < value.length; yield one) [one, at] = varint(value, at);
};

function tensor(bytes, Tensor) {
  const dims = [];
  const listed = [];
  let type = 0;
  let raw = new Uint8Array();
  for (const { number, value } of fields(bytes)) {
    if (number === TENSOR.dims) dims.push(...[...packed(value)].map(Number));
    else if (number === TENSOR.type) type = Number(value);
    // Copied, since an array of larger elements cannot begin anywhere.
    else if (number === TENSOR.raw || number === TENSOR.floats) raw = new Uint8Array(value);
    else if (number === TENSOR.int64s) listed.push(...packed(value));
    else if (number === TENSOR.int32s) listed.push(...[...packed(value)].map(Number));
  }
  const [name, Values] = ARRAYS[type] ?? [];
  if (!Values) throw new Error(`a default has the element type ${type}`);
  const data = listed.length ? Values.from(listed) : new Values(raw.buffer);
  return new Tensor(name, data, dims);
}

function joined(parts) {
  const whole = new Uint8Array(parts.reduce((size, part) => size + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

function header(number, size) {
  const bytes = [(number << 3) | BYTES];
  for (let rest = size; ; rest = Math.floor(rest / 128)) {
    bytes.push(rest < 128 ? rest : (rest % 128) | 128);
    if (rest < 128) return Uint8Array.from(bytes);
  }
}

/**
 * Take the defaults of the optional inputs out of a model.
 *
 * @param {Uint8Array} model the bytes of a model.onnx
 * @param {typeof import("onnxruntime-web").Tensor} Tensor of onnxruntime-web
 * @returns {{model: Uint8Array, defaults: Object<string, Tensor>}}
 */
export function settable(model, Tensor) {
  const parts = [];
  const defaults = {};
  for (const field of fields(model)) {
    if (field.number !== MODEL.graph) {
      parts.push(model.subarray(field.start, field.end));
      continue;
    }
    const graph = field.value;
    const inputs = new Set();
    for (const { number, value } of fields(graph)) {
      if (number === GRAPH.input) inputs.add(nameOf(value, VALUE.name));
    }
    const kept = [];
    for (const { number, value, start, end } of fields(graph)) {
      const name = number === GRAPH.initializer ? nameOf(value, TENSOR.name) : "";
      if (inputs.has(name)) defaults[name] = tensor(value, Tensor);
      else kept.push(graph.subarray(start, end));
    }
    const size = kept.reduce((sum, part) => sum + part.length, 0);
    parts.push(header(MODEL.graph, size), ...kept);
  }
  return { model: joined(parts), defaults };
}
