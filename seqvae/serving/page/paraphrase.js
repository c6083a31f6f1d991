// The sentence said differently, while the noise slider moves.

import { curl, post } from "./api.js";
import { Card } from "./card.js";
import { byId, count, nats } from "./dom.js";
import { showTexts } from "./texts.js";

const PATH = "v1/paraphrase";

export class Paraphrases {
  /**
   * @param {import("./settings.js").Settings} settings
   * @param {{use: (text: string) => void, walk: (text: string) => void}} actions
   */
  constructor(settings, actions) {
    this.card = new Card(byId("paraphrase-card"));
    this.settings = settings;
    this.actions = actions;
    this.list = byId("paraphrases");
    byId("copy-request").addEventListener("click", async (event) => {
      const button = event.target;
      try {
        await navigator.clipboard.writeText(byId("request").textContent);
        button.textContent = "Copied";
      } catch {
        // Browsers give the clipboard to https and localhost only.
        getSelection().selectAllChildren(byId("request"));
        button.textContent = "Selected";
      }
      setTimeout(() => (button.textContent = "Copy"), 1500);
    });
  }

  /** Ask for paraphrases of `text`, `delay` milliseconds after the last change. */
  update(text, delay) {
    const body = { texts: [text], ...this.settings.writing };
    byId("request").textContent = curl(PATH, body);
    byId("paraphrase-empty").hidden = text !== "";
    if (text === "") {
      this.card.stop();
      this.card.clear();
      this.list.replaceChildren();
      byId("paraphrase-help").hidden = true;
      return;
    }
    this.card.latest(delay, async (how) => {
      const { results } = await post(PATH, body, how);
      if (!how.signal.aborted) this.#show(text, results[0].candidates);
    });
  }

  #show(text, candidates) {
    const items = candidates.map(({ text: said, score, copy }) => ({
      text: said,
      facts: [`${nats(score === null ? null : -score, 2)} nats a piece`, ...(copy ? ["a copy"] : [])],
      actions: [
        { name: "Use", act: () => this.actions.use(said) },
        { name: "Walk there", act: () => this.actions.walk(said) },
      ],
    }));
    showTexts(this.list, items, text);
    byId("paraphrase-help").hidden = candidates.length === 0;
    byId("paraphrase-status").textContent = count(candidates.length, "paraphrase", "paraphrases");
  }
}
