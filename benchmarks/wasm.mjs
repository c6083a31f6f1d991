// Run a model in onnxruntime-web as benchmarks/wasm.py asks on standard input.

import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

// The message alone: a trace quotes the minified library.
process.on("uncaughtException", (error) => {
  console.error(error.message);
  process.exit(1);
});

const asked = JSON.parse(readFileSync(0, "utf-8"));
const found = createRequire(`${asked.packages}/`).resolve("onnxruntime-web/wasm");
const ort = await import(pathToFileURL(found).href.replace(/\.js$/, ".mjs"));
const { settable } = await import(pathToFileURL(`${asked.packages}/options.mjs`).href);
ort.env.logLevel = "fatal";
ort.env.wasm.numThreads = 1;

const ARRAYS = {
  float32: Float32Array,
  float64: Float64Array,
  int32: Int32Array,
  int64: BigInt64Array,
  bool: Uint8Array,
};

function tensorOf({ type, dims, data }) {
  if (type === "string") return new ort.Tensor("string", data, dims);
  const bytes = Buffer.from(data, "base64");
  const copy = bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length);
  return new ort.Tensor(type, new ARRAYS[type](copy), dims);
}

function said({ type, dims, data }) {
  if (type === "string") return { type, dims, data };
  const bytes = Buffer.from(data.buffer, data.byteOffset, data.byteLength);
  return { type, dims, data: bytes.toString("base64") };
}

const { model, defaults } = settable(readFileSync(asked.model), ort.Tensor);
const externalData = asked.external.map((path) => ({
  path: path.split("/").at(-1),
  data: readFileSync(path),
}));
const began = performance.now();
const session = await ort.InferenceSession.create(model, { externalData });
const loaded = performance.now();
const answers = [];
for (const feeds of asked.runs) {
  const given = Object.entries(feeds).map(([name, value]) => [name, tensorOf(value)]);
  const results = await session.run({ ...defaults, ...Object.fromEntries(given) }, asked.outputs);
  answers.push(Object.fromEntries(asked.outputs.map((name) => [name, said(results[name])])));
}
const seconds = { load: (loaded - began) / 1000, run: (performance.now() - loaded) / 1000 };
process.stdout.write(JSON.stringify({ answers, seconds }));
