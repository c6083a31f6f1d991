// One sound: recorded, dropped or chosen.

import { make } from "./dom.js";
import { decode, draw, wav } from "./wav.js";

const LONGEST = 60;

const canRecord = () =>
  Boolean(navigator.mediaDevices?.getUserMedia) && typeof MediaRecorder !== "undefined";

export class Sound {
  #recorder = null;
  #timer = 0;

  /**
   * @param {HTMLElement} box an empty element; `data-name` is the sound's name
   * @param {number} rate samples a second that the model wants
   * @param {number} longest seconds that the server takes
   * @param {() => void} changed called when there is a sound, or none any more
   */
  constructor(box, rate, longest, changed) {
    this.box = box;
    this.rate = rate;
    this.longest = longest;
    this.changed = changed;
    this.blob = null;
    this.samples = null;
    const name = box.dataset.name;
    this.message = make("p", { className: "quiet", role: "status" });
    this.wave = make("canvas", { className: "wave", width: 480, height: 72, "aria-hidden": "true" });
    this.wave.hidden = true;
    this.player = make("audio", { controls: true, hidden: true, "aria-label": `Play: ${name}` });
    this.record = make(
      "button",
      { type: "button", onclick: () => this.#toggle(), "aria-label": `Record: ${name}` },
      "Record",
    );
    const input = make("input", { type: "file", accept: "audio/*", className: "visually-hidden" });
    input.addEventListener("change", () => {
      if (input.files[0]) this.#take(input.files[0]);
      input.value = "";
    });
    const choose = make("label", { className: "choose" }, input, "Choose a file");
    box.append(
      make("h3", {}, name),
      make("div", { className: "row" }, this.record, choose, make("span", { className: "quiet" }, "or drop one here")),
      this.message,
      this.wave,
      this.player,
    );
    if (!canRecord()) {
      this.record.disabled = true;
      this.message.textContent = "Recording needs https or localhost; files work anywhere.";
    }
    this.#drops();
  }

  #drops() {
    const over = (yes) => (event) => {
      event.preventDefault();
      this.box.classList.toggle("over", yes);
    };
    this.box.addEventListener("dragover", over(true));
    this.box.addEventListener("dragleave", over(false));
    this.box.addEventListener("drop", (event) => {
      over(false)(event);
      const file = event.dataTransfer.files[0];
      if (file) this.#take(file);
    });
  }

  async #toggle() {
    if (this.#recorder) {
      this.#recorder.stop();
      return;
    }
    let stream;
    // Until the user has allowed it, or not, another click would ask again.
    this.record.disabled = true;
    try {
      stream = await navigator.mediaDevices.getUserMedia({ audio: true });
    } catch (error) {
      this.message.textContent =
        error.name === "NotAllowedError"
          ? "The browser was not allowed to use the microphone."
          : "No microphone was found.";
      return;
    } finally {
      this.record.disabled = false;
    }
    const parts = [];
    const began = performance.now();
    const recorder = new MediaRecorder(stream);
    this.#recorder = recorder;
    recorder.addEventListener("dataavailable", (event) => parts.push(event.data));
    recorder.addEventListener("stop", () => {
      clearInterval(this.#timer);
      stream.getTracks().forEach((track) => track.stop());
      this.#recorder = null;
      this.#say("Record", "Record");
      this.box.classList.remove("recording");
      this.#take(new Blob(parts, { type: recorder.mimeType }));
    });
    recorder.start();
    this.#say("Stop", "Stop recording");
    this.box.classList.add("recording");
    this.message.textContent = "Recording";
    this.#timer = setInterval(() => {
      const seconds = (performance.now() - began) / 1000;
      this.record.textContent = `Stop (${Math.floor(seconds)} s)`;
      if (seconds >= Math.min(LONGEST, this.longest)) recorder.stop();
    }, 250);
  }

  #say(text, action) {
    this.record.textContent = text;
    this.record.setAttribute("aria-label", `${action}: ${this.box.dataset.name}`);
  }

  async #take(file) {
    this.message.textContent = "Reading…";
    try {
      const samples = await decode(file, this.rate);
      if (samples.length === 0) throw new Error("There is no sound in it.");
      if (samples.length > this.longest * this.rate) {
        throw new Error(`It lasts more than ${this.longest} s, the most that the server takes.`);
      }
      this.samples = samples;
      this.blob = wav(samples, this.rate);
      this.wave.hidden = false;
      draw(this.wave, samples);
      const peak = samples.reduce((most, x) => Math.max(most, Math.abs(x)), 0);
      const seconds = (samples.length / this.rate).toFixed(1);
      this.message.textContent =
        `${file.name ?? "Recorded"}: ${seconds} s` + (peak < 0.01 ? ", almost silent" : "");
      URL.revokeObjectURL(this.player.src);
      this.player.src = URL.createObjectURL(this.blob);
      this.player.hidden = false;
    } catch (error) {
      this.blob = null;
      this.wave.hidden = true;
      this.player.hidden = true;
      this.message.textContent = error.message;
    }
    this.changed();
  }
}
