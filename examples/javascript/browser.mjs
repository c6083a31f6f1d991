// The page of index.html: the model runs in the tab, no server is asked.
//
//     npm install
//     npm start            # then open http://127.0.0.1:8080

import * as ort from "./node_modules/onnxruntime-web/dist/ort.wasm.min.mjs";

import { open } from "./paraphrase.mjs";

ort.env.logLevel = "error";
// More threads need a page that is isolated from other origins.
ort.env.wasm.numThreads = 1;

const byId = (id) => document.getElementById(id);
let write = null;

byId("model").addEventListener("change", async (event) => {
  byId("state").textContent = "Loading…";
  try {
    write = await open(ort, new Uint8Array(await event.target.files[0].arrayBuffer()));
    byId("state").textContent = "Ready.";
  } catch (error) {
    write = null;
    byId("state").textContent = `This model cannot run here: ${error.message}`;
  }
});

byId("form").addEventListener("submit", async (event) => {
  event.preventDefault();
  if (!write) return;
  const row = {
    text: byId("sentence").value,
    seed: byId("seed").value,
    noise_scale: byId("noise").value,
    temperature: 0.7,
  };
  try {
    const texts = await write([0, 1, 2, 3, 4].map((sample) => ({ ...row, sample })));
    byId("texts").replaceChildren(
      ...texts.map((text) => Object.assign(document.createElement("li"), { textContent: text })),
    );
    byId("state").textContent = "Written.";
  } catch (error) {
    byId("state").textContent = error.message;
  }
});
