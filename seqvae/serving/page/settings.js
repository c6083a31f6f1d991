// The controls of how texts are written, with the ranges and defaults that the server names.

import { byId, dial } from "./dom.js";

const RANGES = { noise: "noise_scale", temperature: "temperature" };
const NUMBERS = { seed: "seed", "top-k": "top_k", "top-p": "top_p" };

/** Narrow an input to what the server accepts as well, and start at the server's default. */
export function limit(input, option) {
  if (!option) return;
  // null is no limit.
  if (option.low !== null && option.low > Number(input.min)) input.min = option.low;
  if (option.high !== null && option.high < Number(input.max)) input.max = option.high;
  if (Number.isFinite(option.default)) input.value = option.default;
}

/** Read a number field; what is empty or out of range counts as the nearest that is allowed. */
export function numberOf(input) {
  const value = Number(input.value === "" ? input.defaultValue : input.value);
  const low = input.min === "" ? -Infinity : Number(input.min);
  const high = input.max === "" ? Infinity : Number(input.max);
  const within = Math.min(Math.max(Number.isFinite(value) ? value : low, low), high);
  return input.inputMode === "numeric" ? Math.round(within) : within;
}

export class Settings {
  /**
   * @param {object} info of /v1/info
   * @param {() => void} changed called after every change
   */
  constructor(info, changed) {
    const options = info.options ?? {};
    for (const [id, name] of Object.entries(RANGES)) {
      limit(byId(id), options[name]);
      dial(byId(id), byId(`${id}-value`), 2, () => this.#changed());
    }
    for (const [id, name] of Object.entries(NUMBERS)) {
      limit(byId(id), options[name]);
      byId(id).addEventListener("input", () => this.#changed());
    }
    // At 0 each step of a language model is decided: all its samples would be one text.
    if (!info.latent) {
      byId("temperature").value = 1;
      byId("temperature-value").textContent = "1.00";
    }
    byId("count").max = Math.min(byId("count").max, info.limits?.max_batch ?? Infinity);
    byId("count").addEventListener("input", () => this.#changed());
    byId("beam").addEventListener("change", () => this.#changed());
    if (info.beam_size) byId("beam").parentElement.append(` (${info.beam_size} at a time)`);
    byId("new-seed").addEventListener("click", () => {
      byId("seed").value = Math.floor(1e6 * Math.random());
      this.#changed();
    });
    byId("settings").addEventListener("submit", (event) => event.preventDefault());
    this.changed = changed;
    this.#grey();
  }

  #changed() {
    this.#grey();
    this.changed();
  }

  /** Beam search takes the likeliest whole text: what draws pieces has no say. */
  #grey() {
    const beam = byId("beam").checked;
    for (const id of ["temperature", "top-k", "top-p"]) byId(id).disabled = beam;
  }

  get count() {
    return numberOf(byId("count"));
  }

  get seed() {
    return numberOf(byId("seed"));
  }

  /** How each piece is chosen, as `/v1/sample` takes it. */
  get drawing() {
    return {
      seed: this.seed,
      temperature: Number(byId("temperature").value),
      top_k: numberOf(byId("top-k")),
      top_p: numberOf(byId("top-p")),
    };
  }

  /** All of it, as `/v1/paraphrase` takes it. */
  get writing() {
    const beam = byId("beam").checked;
    const drawing = this.drawing;
    if (beam) Object.assign(drawing, { temperature: 0, top_k: 0, top_p: 1 });
    return { n: this.count, noise_scale: Number(byId("noise").value), ...drawing, beam };
  }
}
