// Pieces of the sentence, coloured by how little the model expected each.

import { post } from "./api.js";
import { Card } from "./card.js";
import { byId, make, nats } from "./dom.js";

const SAMPLES = 16;
// exp(-8) is 1 in 3,000: about the odds of a rare word.
const TOP = 8;

/** What a piece looks like: the mark of a word's start is a space, a control piece its meaning. */
function shown(piece) {
  if (piece === "</s>") return "end";
  const text = piece.replaceAll("\u2581", "\u00a0");
  return text.trim() === "" ? "\u00a0\u2423" : text;
}

function odds(surprisal) {
  if (surprisal === null) return "impossible";
  const p = Math.exp(-surprisal);
  if (p >= 0.1) return `${Math.round(100 * p)} % likely`;
  if (p >= 0.01) return `${(100 * p).toFixed(1)} % likely`;
  return `1 in ${Math.round(1 / p).toLocaleString("en")}`;
}

export class Surprisal {
  /** @param {object} info of /v1/info */
  constructor(info) {
    this.samples = Math.min(SAMPLES, info.limits?.max_samples ?? SAMPLES);
    this.card = new Card(byId("sentence-card"));
    this.box = byId("pieces");
    this.readout = byId("piece-readout");
    byId("legend-top").textContent = TOP;
    byId("surprisal-numbers").addEventListener("change", (event) => {
      this.box.classList.toggle("with-numbers", event.target.checked);
    });
    this.box.addEventListener("keydown", (event) => this.#key(event));
    this.box.addEventListener("focusin", (event) => this.#at(event.target, true));
    this.box.addEventListener("pointerover", (event) => this.#at(event.target, false));
  }

  /** Score the sentence, a little after the last change. */
  update(text) {
    if (text === "") {
      this.card.stop();
      this.card.clear();
      byId("surprisal").hidden = true;
      return;
    }
    this.card.latest(250, async (how) => {
      const answer = await post("v1/score", { texts: [text], samples: this.samples }, how);
      if (!how.signal.aborted) this.#show(answer.scores[0]);
    });
  }

  #show({ pieces, nll_iw, kl, reconstruction }) {
    this.box.replaceChildren(
      ...pieces.map(({ piece, surprisal }, index) => {
        const item = make(
          "span",
          {
            role: "option",
            className: piece === "</s>" ? "piece end" : "piece",
            tabIndex: index ? -1 : 0,
            "aria-selected": "false",
            "aria-label": `${shown(piece).trim()}, ${nats(surprisal, 2)} nats`,
          },
          make("span", {}, shown(piece)),
          make("span", { className: "nats" }, nats(surprisal, 1)),
        );
        const heat = surprisal === null ? 1 : Math.min(1, Math.max(0, surprisal / TOP));
        item.style.setProperty("--heat-share", `${100 * heat}%`);
        item.dataset.readout = `“${shown(piece).trim()}”: ${nats(surprisal, 2)} nats, ${odds(surprisal)}`;
        return item;
      }),
    );
    this.readout.textContent = "Point at a piece, or use the arrow keys.";
    const each = nll_iw === null ? null : nll_iw / Math.max(1, pieces.length);
    byId("surprisal-summary").textContent =
      `${nats(nll_iw, 1)} nats in all, ${nats(each, 2)} a piece` +
      (kl === 0 ? "" : ` · reconstruction ${nats(reconstruction, 1)}, KL ${nats(kl, 1)}`);
    byId("surprisal").hidden = false;
  }

  #at(target, select) {
    const item = target.closest(".piece");
    if (!item) return;
    this.readout.textContent = item.dataset.readout;
    if (!select) return;
    for (const other of this.box.children) {
      other.tabIndex = other === item ? 0 : -1;
      other.setAttribute("aria-selected", String(other === item));
    }
  }

  #key(event) {
    const items = [...this.box.children];
    const at = items.indexOf(document.activeElement);
    const to = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: items.length - 1 }[event.key];
    if (to === undefined || at < 0) return;
    event.preventDefault();
    items[Math.min(Math.max(to, 0), items.length - 1)].focus();
  }
}
