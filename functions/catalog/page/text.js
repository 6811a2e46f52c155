import { bars, h } from "./dom.js";
import { lines, texts } from "./inputs.js";

const best = ({ label, score }) => `${label}, ${(100 * score).toFixed(0)} %`;

export const classification = {
  form: (model, { lang }) => texts([{ name: "text", label: "Text" }], lang),
  call: ({ text }) => ({ json: { inputs: text } }),
  show: ([scores]) => scored(scores),
  say: ([scores]) => best(scores[0]),
};

export const zeroShot = {
  form: (model, { lang }) => texts([{ name: "text", label: "Text" }, { name: "labels", label: "Labels", rows: 3, hint: "One a line; any words of your own." }], lang),
  settings: () => [
    { name: "multi_label", label: "Several labels may be true", kind: "check" },
    { name: "hypothesis_template", label: "Sentence with the label", kind: "text", placeholder: "This example is {}." },
  ],
  call: ({ text, labels }, parameters) => ({ json: { inputs: text, parameters: { candidate_labels: lines(labels), ...parameters } } }),
  show: (scores) => scored(scores),
  say: (scores) => best(scores[0]),
};

/** The best label large, then all as bars. */
export function scored(scores) {
  return h("div", null, h("p.verdict", null, scores[0].label), bars(scores.slice(0, 20)));
}
