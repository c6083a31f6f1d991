// The page: ask the server what it serves, then show what can be done with that.

import { ask, post, useKey, whenLocked } from "./api.js";
import { byId, grow, type } from "./dom.js";
import { Paraphrases } from "./paraphrase.js";
import { Samples } from "./sample.js";
import { Settings } from "./settings.js";
import { Speech } from "./speech.js";
import { Surprisal } from "./surprisal.js";
import { Walk } from "./walk.js";

function health(state, text) {
  byId("health").dataset.state = state;
  byId("health-text").textContent = text;
}

function facts(info) {
  byId("model").textContent = info.name ?? "";
  document.title = info.name ? `${info.name} · seqvae` : "seqvae";
  const known = [
    info.kind && `${info.kind} model`,
    info.latent ? `${info.latent} latent dimensions${info.kind === "speech" ? " a step" : ""}` : info.kind === "text" && "no latent",
    info.sample_rate && `${info.sample_rate / 1000} kHz`,
    info.max_length && `up to ${info.max_length} pieces`,
    info.version && `seqvae ${info.version}`,
  ];
  byId("facts").textContent = known.filter(Boolean).join(" · ");
}

function textPage(info) {
  const sentence = byId("sentence");
  grow(sentence);
  const use = (text) => {
    type(sentence, text);
    sentence.focus();
  };
  const surprisal = new Surprisal(info);
  const latent = Boolean(info.latent);
  const walk = latent ? new Walk(info) : null;
  const go = walk ? (text) => walk.go(text) : null;
  let paraphrases = null;
  let samples = null;
  const text = () => sentence.value.trim();
  const settings = new Settings(info, () => {
    paraphrases?.update(text(), 60);
    samples.restart();
  });
  samples = new Samples(settings, { use, walk: go });
  if (latent) paraphrases = new Paraphrases(settings, { use, walk: go });
  else {
    // A language model has nothing to paraphrase around; how it writes still matters.
    byId("walk-card").hidden = true;
    byId("sample-card").append(byId("settings"));
    byId("paraphrase-card").hidden = true;
    byId("settings").classList.add("alone");
  }
  const update = (delay) => {
    byId("sentence-hint").hidden = text() !== "";
    surprisal.update(text());
    paraphrases?.update(text(), delay);
    walk?.start(text());
  };
  sentence.addEventListener("input", () => update(250));
  sentence.addEventListener("keydown", (event) => {
    // A sentence has one line; Enter asks at once.
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    update(0);
  });
  byId("inspire").addEventListener("click", () => {
    const seed = Math.floor(1e6 * Math.random());
    surprisal.card.latest(0, async (how) => {
      const { texts } = await post("v1/sample", { n: 1, ...settings.drawing, seed }, how);
      if (!how.signal.aborted) setTimeout(() => use(texts[0]));
    });
  });
  byId("text").hidden = false;
  // A browser may have kept what was typed before a reload.
  update(0);
}

function start(info) {
  facts(info);
  health("ready", "ready");
  byId("start").hidden = true;
  if (info.kind === "speech") {
    new Speech(info);
    byId("speech").hidden = false;
  } else textPage(info);
}

async function connect() {
  byId("start-again").hidden = true;
  byId("start-why").textContent = "";
  health("waiting", "connecting");
  const waiting = (_, message) => {
    health("waiting", "not ready");
    byId("start-text").textContent = "The model is not ready yet. This page goes on by itself.";
    byId("start-why").textContent = message;
  };
  try {
    const response = await ask("v1/info", {}, { waiting, tries: Infinity });
    start(await response.json());
  } catch (error) {
    health("down", error.status === 401 ? "locked" : "not connected");
    if (error.status === 401) return;
    byId("start-text").textContent = "The model could not be reached.";
    byId("start-why").textContent = error.message;
    byId("start-again").hidden = false;
  }
}

whenLocked((message) => {
  health("down", "locked");
  byId("start").hidden = false;
  byId("start-text").textContent = "This server wants an API key.";
  byId("start-why").textContent = message;
  byId("key-form").hidden = false;
  byId("key").focus();
});
byId("key-form").addEventListener("submit", (event) => {
  event.preventDefault();
  useKey(byId("key").value);
  byId("key").value = "";
  byId("key-form").hidden = true;
  if (byId("text").hidden && byId("speech").hidden) connect();
  else {
    byId("start").hidden = true;
    health("ready", "ready");
  }
});
byId("start-again").addEventListener("click", connect);
connect();
