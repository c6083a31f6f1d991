// Change the voice of a WAV file, in Node.
//
//     npm install
//     node convert.mjs BUNDLE SOURCE.wav RESULT.wav [VOICE]
//
// BUNDLE was written by `seqvae export` from a speech run. The model takes sound and gives sound at its own
// rate; SOURCE has 16 bits, and one of another rate or kind goes through ffmpeg first.

import { readFile, writeFile } from "node:fs/promises";
import * as ort from "onnxruntime-web";

import { settable } from "./options.mjs";
import { readWav, writeWav } from "./wav.mjs";

const [bundle, source, result, voice] = process.argv.slice(2);
if (result === undefined) {
  console.error("node convert.mjs BUNDLE SOURCE.wav RESULT.wav [VOICE]");
  process.exit(2);
}
ort.env.logLevel = "error";
// Workers keep the program from ending.
ort.env.wasm.numThreads = 1;

const facts = JSON.parse(await readFile(`${bundle}/seqvae.json`, "utf8"));
const rate = facts.speech.mel.sample_rate;
const speaker = voice === undefined ? 0 : facts.labels.indexOf(voice);
if (speaker < 0) throw new Error(`no voice ${voice}; there are ${facts.labels.join(", ")}`);
const sound = readWav(await readFile(source));
if (sound.rate !== rate) throw new Error(`${source} has ${sound.rate} Hz; the model wants ${rate}`);

const bytes = await readFile(`${bundle}/${facts.default_variant}/model.onnx`);
const { model, defaults } = settable(bytes, ort.Tensor);
const session = await ort.InferenceSession.create(model);
const feeds = {
  ...defaults,
  audio: new ort.Tensor("float32", sound.samples, [1, sound.samples.length]),
  speaker: new ort.Tensor("int64", [BigInt(speaker)], [1, 1]),
};
const { converted } = await session.run(feeds, ["converted"]);
await writeFile(result, writeWav(converted.data, rate));
console.log(`${result}: ${(sound.samples.length / rate).toFixed(1)} s in the voice of ${facts.labels[speaker]}`);
