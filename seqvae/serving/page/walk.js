// A walk from one sentence to another through the latent.

import { post } from "./api.js";
import { Card } from "./card.js";
import { byId, dial, grow, make, type } from "./dom.js";

export class Walk {
  /** @param {object} info of /v1/info */
  constructor(info) {
    const steps = byId("walk-steps");
    steps.max = Math.min(steps.max, info.limits?.max_steps ?? Infinity);
    this.card = new Card(byId("walk-card"));
    this.place = byId("walk-place");
    this.list = byId("walk-texts");
    this.from = byId("walk-a");
    this.to = byId("walk-b");
    this.fits = [grow(this.from), grow(this.to)];
    this.texts = [];
    // The start is the sentence above until it is written by hand.
    this.follows = true;
    this.from.addEventListener("input", (event) => {
      if (event.isTrusted) this.follows = this.from.value.trim() === "";
      this.#ask(300);
    });
    this.to.addEventListener("input", () => this.#ask(300));
    dial(byId("walk-steps"), byId("walk-steps-value"), 0, () => this.#ask(120));
    this.show = dial(this.place, make("output"), 0, () => this.#stand());
    this.list.addEventListener("click", (event) => {
      const item = event.target.closest("li");
      if (!item) return;
      this.place.value = [...this.list.children].indexOf(item);
      this.place.focus();
      this.show();
      this.#stand();
    });
  }

  /** The sentence above changed. */
  start(text) {
    if (!this.follows || this.from.value === text) return;
    this.from.value = text;
    this.fits[0]();
    this.#ask(400);
  }

  /** Walk to this text, and show the walk. */
  go(text) {
    type(this.to, text);
    const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
    byId("walk-card").scrollIntoView({ behavior: calm ? "auto" : "smooth", block: "start" });
    this.to.focus({ preventScroll: true });
  }

  #ask(delay) {
    const [a, b] = [this.from.value.trim(), this.to.value.trim()];
    const ready = a !== "" && b !== "";
    byId("walk-empty").hidden = ready;
    if (!ready) {
      this.card.stop();
      this.card.clear();
      byId("walk").hidden = true;
      return;
    }
    const steps = Number(byId("walk-steps").value);
    this.card.latest(delay, async (how) => {
      const answer = await post("v1/interpolate", { a, b, steps }, how);
      if (!how.signal.aborted) this.#show(answer.texts);
    });
  }

  #show(texts) {
    // Stay at the same share of the way when the number of steps changes.
    const share = Number(this.place.value) / Math.max(1, Number(this.place.max));
    this.texts = texts;
    this.place.max = texts.length - 1;
    this.place.value = Math.round(share * (texts.length - 1));
    this.list.replaceChildren(
      ...texts.map((text, index) => {
        const same = index > 0 && text === texts[index - 1];
        return make("li", { className: same ? "same" : "", dir: "auto" }, text || "(an empty text)");
      }),
    );
    byId("walk").hidden = false;
    this.show();
    this.#stand();
  }

  #stand() {
    const at = Number(this.place.value);
    const text = this.texts[at] || "(an empty text)";
    byId("walk-here").textContent = text;
    this.place.setAttribute("aria-valuetext", `${at + 1} of ${this.texts.length}: ${text}`);
    [...this.list.children].forEach((item, index) => {
      if (index === at) item.setAttribute("aria-current", "step");
      else item.removeAttribute("aria-current");
    });
  }
}
