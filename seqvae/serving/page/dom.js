// Small helpers for building and announcing; nothing here knows the model.

export const byId = (id) => document.getElementById(id);

/** Create an element: properties are set as they are, children are nodes or strings. */
export function make(tag, properties = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name.includes("-") || name === "role") node.setAttribute(name, value);
    else node[name] = value;
  }
  node.append(...children);
  return node;
}

/** Let a text area be as high as what is in it. */
export function grow(area) {
  const fit = () => {
    area.style.height = "auto";
    area.style.height = `${area.scrollHeight + 2}px`;
  };
  area.addEventListener("input", fit);
  window.addEventListener("resize", fit);
  fit();
  return fit;
}

/** Set the text of an input as if it had been typed. */
export function type(input, text) {
  input.value = text;
  input.dispatchEvent(new Event("input", { bubbles: true }));
}

/** Show a range's value in its output, and call back with the number. */
export function dial(range, output, digits, changed = () => {}) {
  const show = () => {
    output.textContent = Number(range.value).toFixed(digits);
    const share = (range.value - range.min) / (range.max - range.min || 1);
    range.style.setProperty("--share", `${100 * share}%`);
  };
  range.addEventListener("input", () => {
    show();
    changed(Number(range.value));
  });
  show();
  return show;
}

export const count = (n, one, many) => `${n} ${n === 1 ? one : many}`;

/** A number of nats; JSON has no infinity, so null says it. */
export const nats = (value, digits) => (value === null ? "∞" : value.toFixed(digits));
