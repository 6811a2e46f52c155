/**
 * An element. `name` may carry classes ("p.hint"); a property that the element has is set, `on…` listens, all else is
 * an attribute. Children are nodes or texts; null and false are left out.
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

/** An id that no other element has. */
export const fresh = (stem) => `${stem}-${++count}`;

/** A label above what it names. */
export function labelled(words, control, hint) {
  control.id ||= fresh("field");
  const told = hint && h("p.hint", { id: `${control.id}-hint` }, hint);
  if (told) control.setAttribute("aria-describedby", told.id);
  return h("div.field", null, h("label", { htmlFor: control.id }, words), control, told);
}

/** Places from 0 to 1 on an element that is positioned over another. CSSOM, since the policy forbids style attributes. */
export function put(element, { left, top, width, height }) {
  for (const [side, share] of Object.entries({ left, top, width, height }))
    if (share !== undefined) element.style[side] = `${100 * share}%`;
  return element;
}

/** One of eight colours, always the same for the same number. */
export const hue = (number) => `hue-${(number % 8) + 1}`;

export const percent = (share) => `${(100 * share).toFixed(share > 0 && share < 0.001 ? 2 : 1)} %`;

/** A list of labels with bars as long as their scores. */
export function bars(rows, { format = percent, least = 0 } = {}) {
  return h(
    "ol.bars",
    null,
    rows.map(({ label, score, colour }) => {
      const bar = h("span.bar", { "aria-hidden": "true" }, h("span"));
      bar.firstChild.style.width = `${100 * Math.max(0, Math.min(1, (score - least) / (1 - least)))}%`;
      return h("li", { className: colour ?? "" }, h("span.name", null, label), h("span.score", null, format(score)), bar);
    }),
  );
}
