// A sound to look at and to listen to: its spectrogram, a player, and where the player is.

import { make } from "./dom.js";
import { levels, paint } from "./spectrogram.js";

/** Only one of them plays at a time: to compare two voices at once tells nothing. */
const all = new Set();

export class Heard {
  #levels = null;

  /** @param {HTMLElement} figure an empty one; `data-name` is its caption */
  constructor(figure) {
    const name = figure.dataset.name;
    this.canvas = make("canvas", { width: 480, height: 160, role: "img" });
    this.canvas.setAttribute("aria-label", `Spectrogram: ${name}`);
    this.place = make("span", { className: "place", "aria-hidden": "true" });
    this.player = make("audio", { controls: true, "aria-label": `Play: ${name}` });
    this.save = make("a", {}, "Save as WAV");
    this.length = make("span", { className: "quiet numbers" });
    figure.append(
      make("figcaption", { className: "row between" }, make("strong", {}, name), this.length),
      make("div", { className: "spectrum" }, this.canvas, this.place),
      this.player,
      this.save,
    );
    this.canvas.addEventListener("click", (event) => this.#seek(event));
    this.player.addEventListener("play", () => {
      for (const other of all) if (other !== this) other.player.pause();
      this.#follow();
    });
    this.player.addEventListener("seeked", () => this.#follow());
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.#paint());
    all.add(this);
  }

  /**
   * @param {Float32Array} samples
   * @param {number} rate samples a second
   * @param {Blob} file of it
   * @param {string} name of the file
   */
  show(samples, rate, file, name) {
    URL.revokeObjectURL(this.player.src);
    this.player.src = URL.createObjectURL(file);
    this.save.href = this.player.src;
    this.save.download = name;
    this.length.textContent = `${(samples.length / rate).toFixed(1)} s`;
    this.place.hidden = true;
    this.#levels = levels(samples, rate, this.canvas.width, this.canvas.height);
    this.#paint();
  }

  #paint() {
    if (this.#levels) paint(this.canvas, this.#levels);
  }

  #seek(event) {
    const box = this.canvas.getBoundingClientRect();
    const share = (event.clientX - box.left) / box.width;
    if (Number.isFinite(this.player.duration)) {
      this.player.currentTime = share * this.player.duration;
    }
  }

  #follow() {
    const { currentTime, duration, paused } = this.player;
    this.place.hidden = !Number.isFinite(duration);
    this.place.style.left = `${(100 * currentTime) / duration}%`;
    if (!paused) requestAnimationFrame(() => this.#follow());
  }
}
