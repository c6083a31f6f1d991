// Say a sound in another voice.

import { ask, curlForm } from "./api.js";
import { Card } from "./card.js";
import { byId, dial, make } from "./dom.js";
import { Heard } from "./heard.js";
import { limit, numberOf } from "./settings.js";
import { Sound } from "./sound.js";
import { decode } from "./wav.js";

// What speech is recorded at when the server does not say.
const RATE = 22050;
const RECORDING = "\u0000recording";

export class Speech {
  /** @param {object} info of /v1/info */
  constructor(info) {
    this.card = new Card(byId("convert-card"));
    this.rate = info.sample_rate ?? RATE;
    const longest = info.limits?.max_seconds ?? Infinity;
    const changed = () => this.#ready();
    this.sound = new Sound(byId("sound"), this.rate, longest, changed);
    this.target = new Sound(byId("target"), this.rate, longest, changed);
    this.before = new Heard(byId("before"));
    this.after = new Heard(byId("after"));
    this.hears = Boolean(info.recordings);
    for (const voice of info.labels ?? []) {
      byId("voice").append(make("option", { value: voice }, voice));
    }
    if (this.hears) {
      byId("voice").append(make("option", { value: RECORDING }, "A recording of it…"));
    }
    byId("strength-dial").hidden = !this.hears;
    limit(byId("strength"), info.options?.strength);
    limit(byId("convert-noise"), info.options?.noise_scale);
    dial(byId("strength"), byId("strength-value"), 2, changed);
    dial(byId("convert-noise"), byId("convert-noise-value"), 2, changed);
    byId("convert-seed").addEventListener("input", changed);
    byId("voice").addEventListener("change", changed);
    byId("convert-form").addEventListener("submit", (event) => {
      event.preventDefault();
      if (!byId("convert").disabled) this.#convert();
    });
    this.#ready();
  }

  /** What goes with the sound, as `/v1/convert` takes it. */
  get #fields() {
    const recorded = byId("voice").value === RECORDING;
    const fields = { voice: recorded ? this.target.blob : byId("voice").value };
    if (this.hears) fields.strength = byId("strength").value;
    fields.noise_scale = byId("convert-noise").value;
    fields.seed = String(numberOf(byId("convert-seed")));
    return fields;
  }

  #ready() {
    const recorded = byId("voice").value === RECORDING;
    byId("target").hidden = !recorded;
    const missing = this.sound.blob === null ? "a sound" : recorded && !this.target.blob ? "a voice" : "";
    byId("convert").disabled = missing !== "";
    byId("convert-status").textContent = missing && `Record ${missing} or choose a file first.`;
    byId("convert-request").textContent = curlForm("v1/convert", {
      sound: "@sound.wav",
      ...this.#fields,
      ...(recorded && { voice: "@voice.wav" }),
    });
  }

  #convert() {
    const form = new FormData();
    form.append("sound", this.sound.blob, "sound.wav");
    for (const [name, value] of Object.entries(this.#fields)) {
      if (value instanceof Blob) form.append(name, value, `${name}.wav`);
      else form.append(name, value);
    }
    const source = { samples: this.sound.samples, blob: this.sound.blob };
    byId("convert-status").textContent = "Converting…";
    this.card.latest(0, async (how) => {
      try {
        const response = await ask("v1/convert", { method: "POST", body: form }, how);
        const took = /dur=([\d.]+)/.exec(response.headers.get("Server-Timing") ?? "");
        const answer = await response.blob();
        const samples = await decode(answer, this.rate);
        if (how.signal.aborted) return;
        byId("converted").hidden = false;
        this.before.show(source.samples, this.rate, source.blob, "original.wav");
        this.after.show(samples, this.rate, answer, "converted.wav");
        const seconds = samples.length / this.rate;
        byId("convert-status").textContent =
          `${seconds.toFixed(1)} s converted` +
          (took ? ` in ${(took[1] / 1000).toFixed(2)} s.` : ".");
      } catch (error) {
        byId("convert-status").textContent = "";
        throw error;
      }
    });
  }
}
