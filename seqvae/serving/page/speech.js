// Convert a sound into another voice.

import { ask } from "./api.js";
import { Card } from "./card.js";
import { byId, dial } from "./dom.js";
import { Sound } from "./sound.js";
import { decode, draw } from "./wav.js";

// What speech is recorded at when the server does not say.
const RATE = 22050;

export class Speech {
  /** @param {object} info of /v1/info */
  constructor(info) {
    this.card = new Card(byId("convert-card"));
    this.rate = info.sample_rate ?? RATE;
    this.noise = byId("convert-noise");
    const option = info.options?.noise_scale;
    if (Number.isFinite(option?.default)) this.noise.value = option.default;
    dial(this.noise, byId("convert-noise-value"), 2);
    this.sound = new Sound(byId("sound"), this.rate, () => this.#ready());
    this.voice = new Sound(byId("voice"), this.rate, () => this.#ready());
    byId("convert").addEventListener("click", () => this.#convert());
  }

  #ready() {
    const ready = this.sound.blob !== null;
    byId("convert").disabled = !ready;
    byId("convert-status").textContent = ready ? "" : "Record a sound or choose a file first.";
  }

  #convert() {
    const form = new FormData();
    form.append("sound", this.sound.blob, "sound.wav");
    if (this.voice.blob) form.append("voice", this.voice.blob, "voice.wav");
    form.append("noise_scale", this.noise.value);
    byId("convert-status").textContent = "Converting…";
    this.card.latest(0, async (how) => {
      try {
        const response = await ask("v1/convert", { method: "POST", body: form }, how);
        const answer = await response.blob();
        if (!how.signal.aborted) await this.#show(answer);
        byId("convert-status").textContent = "Done.";
      } catch (error) {
        byId("convert-status").textContent = "";
        throw error;
      }
    });
  }

  async #show(answer) {
    const samples = await decode(answer, this.rate);
    const address = URL.createObjectURL(answer);
    URL.revokeObjectURL(byId("converted-audio").src);
    byId("converted-audio").src = address;
    byId("converted-save").href = address;
    byId("converted").hidden = false;
    draw(byId("converted").querySelector("canvas"), samples);
  }
}
