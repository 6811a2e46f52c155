import { h, labelledField } from "./dom.js";

/** Text fields: {name, label, rows, hint}. The value of the form and of an example has each text under its name. */
export function texts(specs, lang) {
  const areas = specs.map(({ rows = 4, ...spec }) => ({ ...spec, area: rows > 1 ? h("textarea", { rows, lang: lang ?? "", spellcheck: false, placeholder: spec.placeholder ?? "" }) : h("input", { type: "text", lang: lang ?? "", autocomplete: "off" }) }));
  return {
    node: areas.map(({ label, hint, area }) => labelledField(label, area, hint)),
    isText: true,
    value: () => Object.fromEntries(areas.map(({ name, area }) => [name, area.value])),
    fill: (example) => {
      for (const { name, area } of areas) area.value = example?.value?.[name] ?? "";
      return true;
    },
  };
}

/** The non-empty lines of a text. */
export const lines = (text) => text.split("\n").map((line) => line.trim()).filter(Boolean);
