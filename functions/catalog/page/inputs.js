import { h, labelled } from "./dom.js";

/** Texts to write: {name, label, rows, hint}. The value has each under its name, and so has an example's. */
export function texts(specs, lang) {
  const areas = specs.map(({ rows = 4, ...spec }) => ({ ...spec, area: rows > 1 ? h("textarea", { rows, lang: lang ?? "", spellcheck: false }) : h("input", { type: "text", lang: lang ?? "", autocomplete: "off" }) }));
  return {
    node: areas.map(({ label, hint, area }) => labelled(label, area, hint)),
    value: () => Object.fromEntries(areas.map(({ name, area }) => [name, area.value])),
    fill: (example) => {
      for (const { name, area } of areas) area.value = example?.value[name] ?? "";
    },
    areas: Object.fromEntries(areas.map(({ name, area }) => [name, area])),
  };
}

/** The lines that have something in them. */
export const lines = (text) => text.split("\n").map((line) => line.trim()).filter(Boolean);
