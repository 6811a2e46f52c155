/**
 * Creates an element. `name` may have classes ("p.hint"). Keys of `properties` that start with `on` are event listeners,
 * properties of the element are set, and all others become attributes. Children are nodes or texts; null and false are
 * skipped.
 */
export function h(name, properties, ...children) {
  const [tag, ...classes] = name.split(".");
  const element = document.createElement(tag);
  element.classList.add(...classes);
  for (const [key, value] of Object.entries(properties ?? {})) {
    if (value === undefined || value === null) continue;
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (key in element && key !== "list" && key !== "form") element[key] = value;
    else if (value !== false) element.setAttribute(key, value === true ? "" : value);
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

let count = 0;

/** A unique id for an element. */
export const uniqueId = (stem) => `${stem}-${++count}`;

/** A form field: a label, its control and a hint. */
export function labelledField(label, control, hint) {
  control.id ||= uniqueId("field");
  const description = hint && h("p.hint", { id: `${control.id}-hint` }, hint);
  if (description) control.setAttribute("aria-describedby", description.id);
  return h("div.field", null, h("label", { htmlFor: control.id }, label), control, description);
}

/**
 * Positions an element over another one, in fractions of its size. Uses CSSOM because the content security policy forbids
 * style attributes.
 */
export function position(element, { left, top, width, height }) {
  for (const [name, fraction] of Object.entries({ left, top, width, height }))
    if (fraction !== undefined) element.style[name] = `${100 * fraction}%`;
  return element;
}

/** The class of one of eight colours, the same for the same index. */
export const hue = (index) => `hue-${(index % 8) + 1}`;

export const percent = (fraction) => `${(100 * fraction).toFixed(fraction > 0 && fraction < 0.001 ? 2 : 1)} %`;

/** Replaces what an element shows, and frees the files of the pictures, sounds and films that it showed. */
export function show(target, ...nodes) {
  const files = [...target.querySelectorAll("[src^='blob:']")];
  target.replaceChildren(...nodes);
  for (const element of files) if (!target.contains(element)) URL.revokeObjectURL(element.src);
}

/** A bar chart of labels and scores. */
export function bars(rows, { format = percent } = {}) {
  return h(
    "ol.bars",
    null,
    rows.map(({ label, score, colour }) => {
      const bar = h("span.bar", { "aria-hidden": "true" }, h("span"));
      bar.firstChild.style.width = `${100 * Math.max(0, Math.min(1, score))}%`;
      return h("li", { className: colour ?? "" }, h("span.name", null, label), h("span.score", null, format(score)), bar);
    }),
  );
}

/** A button that copies what `text()` returns; without access to the clipboard it shows the text to copy. */
export function copyButton(label, text) {
  const button = h("button.quiet", {
    type: "button",
    onclick: async () => {
      try {
        await navigator.clipboard.writeText(text());
        button.textContent = "Copied";
      } catch {
        prompt("Copy this:", text());
      }
      setTimeout(() => (button.textContent = label), 2000);
    },
  }, label);
  return button;
}
