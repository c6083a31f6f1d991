// A text model in JavaScript: the same seed writes the same text as in Python and PyTorch.

import { settable } from "./options.mjs";

/**
 * Open the model.onnx of a bundle that was exported with `--tokenizer char`: its tokenizer is
 * made of ONNX operators only, which is what browsers have.
 *
 * @param {typeof import("onnxruntime-web")} ort
 * @param {Uint8Array} bytes of model.onnx
 */
export async function open(ort, bytes) {
  const { model, defaults } = settable(bytes, ort.Tensor);
  const session = await ort.InferenceSession.create(model);
  const column = (name, values) => {
    const like = defaults[name];
    if (!like) throw new Error(`the model has no option ${name}`);
    const data = like.type === "int64" ? values.map(BigInt) : values.map(Number);
    return new ort.Tensor(like.type, like.data.constructor.from(data), [values.length, 1]);
  };

  /**
   * Write one text for each row. A row is a text and its options, such as
   * `{ text, seed: 7, sample: 0, noise_scale: 1, temperature: 0.7 }`; what is left out has its default.
   */
  return async function write(rows) {
    const feeds = { ...defaults };
    feeds.text = new ort.Tensor("string", rows.map((row) => row.text), [rows.length]);
    const names = new Set(rows.flatMap((row) => Object.keys(row)));
    names.delete("text");
    for (const name of names) {
      feeds[name] = column(name, rows.map((row) => row[name] ?? defaults[name]?.data[0]));
    }
    const result = await session.run(feeds, ["written"]);
    return result.written.data;
  };
}
