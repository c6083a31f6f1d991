// New sentences from the prior.

import { post } from "./api.js";
import { Card } from "./card.js";
import { byId, count } from "./dom.js";
import { showTexts } from "./texts.js";

export class Samples {
  /**
   * @param {import("./settings.js").Settings} settings
   * @param {{use: (text: string) => void, walk: ((text: string) => void)|null}} actions
   */
  constructor(settings, actions) {
    this.card = new Card(byId("sample-card"));
    this.settings = settings;
    this.actions = actions;
    this.pressed = 0;
    byId("sample").addEventListener("click", () => this.#write());
  }

  /** The settings changed: what is written next starts at their seed again. */
  restart() {
    this.pressed = 0;
  }

  // Each press goes on from the seed, so that the first page is what the seed says.
  #write() {
    const drawing = this.settings.drawing;
    const n = this.settings.count;
    const seed = drawing.seed + this.pressed;
    this.pressed += 1;
    this.card.latest(0, async (how) => {
      const { texts } = await post("v1/sample", { n, ...drawing, seed }, how);
      if (!how.signal.aborted) this.#show(texts, seed);
    });
  }

  #show(texts, seed) {
    const { use, walk } = this.actions;
    const items = texts.map((text) => ({
      text,
      actions: [
        { name: "Use", act: () => use(text) },
        ...(walk ? [{ name: "Walk there", act: () => walk(text) }] : []),
      ],
    }));
    showTexts(byId("samples"), items);
    byId("sample-empty").textContent = `Seed ${seed}: the same seed writes the same texts.`;
    byId("sample").textContent = "Write others";
    byId("sample-status").textContent = count(texts.length, "new sentence", "new sentences");
  }
}
