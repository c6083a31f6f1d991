// Say a sentence differently, in Node.
//
//     npm install
//     node generate.mjs BUNDLE SENTENCE [SEED]
//
// BUNDLE was written by `seqvae export --tokenizer char RUN BUNDLE`.

import { readFile } from "node:fs/promises";
import * as ort from "onnxruntime-web";

import { open } from "./paraphrase.mjs";

const [bundle, sentence, seed = "0"] = process.argv.slice(2);
if (sentence === undefined) {
  console.error("node generate.mjs BUNDLE SENTENCE [SEED]");
  process.exit(2);
}
ort.env.logLevel = "error";
// Workers gain nothing for one small model, and keep the program from ending.
ort.env.wasm.numThreads = 1;

const write = await open(ort, await readFile(`${bundle}/cpu-fp32/model.onnx`));
const row = { text: sentence, seed, temperature: 0.7 };
const samples = [0, 1, 2, 3, 4];
for (const text of await write(samples.map((sample) => ({ ...row, sample })))) console.log(text);
