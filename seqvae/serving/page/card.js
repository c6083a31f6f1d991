// A card asks the server one thing at a time: the latest. It shows that it is busy, waiting
// or refused, and keeps the answer before until the next one comes.

import { make } from "./dom.js";

export class Card {
  #abort = null;
  #timer = 0;
  #notice;

  /** @param {HTMLElement} section with a `.notice` inside */
  constructor(section) {
    this.section = section;
    this.#notice = section.querySelector(".notice");
  }

  /**
   * Cancel what is under way and, after `delay` milliseconds without another call, do `work`.
   *
   * @param {number} delay
   * @param {(how: {signal: AbortSignal, waiting: Function}) => Promise<void>} work
   */
  latest(delay, work) {
    this.stop();
    const abort = new AbortController();
    this.#abort = abort;
    this.#busy(true);
    this.#timer = setTimeout(() => this.#do(work, abort), delay);
  }

  /** Cancel what is under way or about to be. */
  stop() {
    clearTimeout(this.#timer);
    this.#abort?.abort();
    this.#abort = null;
    this.#busy(false);
  }

  async #do(work, abort) {
    const waiting = (seconds, message) => {
      if (!abort.signal.aborted) {
        this.#say("status", `${message} Trying again in ${Math.max(1, Math.round(seconds))} s.`);
      }
    };
    try {
      await work({ signal: abort.signal, waiting });
      if (!abort.signal.aborted) this.clear();
    } catch (error) {
      if (abort.signal.aborted) return;
      if (!("status" in error)) console.error(error);
      this.#say("alert", error.message, () => this.latest(0, work));
    } finally {
      if (this.#abort === abort) this.#busy(false);
    }
  }

  #busy(yes) {
    this.section.setAttribute("aria-busy", String(yes));
  }

  /** Say something went wrong, or that it waits. */
  #say(role, message, again = null) {
    const text = make("span", { role }, message);
    this.#notice.replaceChildren(text);
    this.#notice.dataset.kind = role;
    if (again) {
      this.#notice.append(make("button", { type: "button", onclick: again }, "Try again"));
    }
    this.#notice.hidden = false;
  }

  /** Take the message away. */
  clear() {
    this.#notice.hidden = true;
    this.#notice.replaceChildren();
  }
}
