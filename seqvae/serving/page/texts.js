// Lists of texts that the model wrote.

import { make } from "./dom.js";
import { freshWords } from "./diff.js";

/** A text as a paragraph; words that `from` does not have are marked. */
function said(text, from) {
  if (text === "") return make("p", { className: "said nothing" }, "(an empty text)");
  if (from === null) return make("p", { className: "said", dir: "auto" }, text);
  const parts = freshWords(from, text).map((part) =>
    part.fresh ? make("mark", {}, part.text) : part.text,
  );
  return make("p", { className: "said", dir: "auto" }, ...parts);
}

/**
 * Show texts in a list. Items whose text stayed are left alone, so that what changes is seen.
 *
 * @param {HTMLOListElement} list
 * @param {{text: string, facts?: string[], actions?: {name: string, act: () => void}[]}[]} items
 * @param {string|null} from mark the words that are not in it
 */
export function showTexts(list, items, from = null) {
  const focused = list.contains(document.activeElement) ? document.activeElement : null;
  const place = focused && [...list.querySelectorAll("button")].indexOf(focused);
  const before = [...list.children].map((item) => item.dataset.text);
  list.replaceChildren(
    ...items.map(({ text, facts = [], actions = [] }, index) => {
      const item = make("li", {}, said(text, from));
      item.dataset.text = text;
      if (before[index] !== text) item.classList.add("arrived");
      const row = make("div", { className: "facts" });
      row.append(...facts.map((fact) => make("span", {}, fact)));
      for (const { name, act } of actions) {
        const label = `${name}: ${text}`;
        row.append(make("button", { type: "button", onclick: act, "aria-label": label }, name));
      }
      if (row.childNodes.length) item.append(row);
      return item;
    }),
  );
  // A list that is written anew must not take the focus away from who walks through it by keys.
  if (focused) [...list.querySelectorAll("button")][place]?.focus({ preventScroll: true });
}
