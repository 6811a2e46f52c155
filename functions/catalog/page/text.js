import { bars, h } from "./dom.js";
import { lines, texts } from "./inputs.js";

const summary = ({ label, score }) => `${label}, ${(100 * score).toFixed(0)} %`;

export const textClassification = {
  form: (model, { lang }) => texts([{ name: "text", label: "Text", placeholder: choices(model.labels) }], lang),
  call: ({ text }) => ({ json: { inputs: text } }),
  render: ([scores]) => scoreList(scores),
  summarise: ([scores]) => summary(scores[0]),
};

export const zeroShotClassification = {
  form: (model, { lang }) => texts([{ name: "text", label: "Text" }, { name: "labels", label: "Labels", rows: 3, hint: "One per line, in your own words." }], lang),
  settings: () => [
    { name: "multi_label", label: "Several labels can apply", kind: "check" },
    { name: "hypothesis_template", label: "Hypothesis template", kind: "text", placeholder: "This example is {}." },
  ],
  call: ({ text, labels }, parameters) => ({ json: { inputs: text, parameters: { candidate_labels: lines(labels), ...parameters } } }),
  render: (scores) => scoreList(scores),
  summarise: (scores) => summary(scores[0]),
};

/** What a model tells apart, for an empty field. */
const choices = (labels = []) => (labels.length ? `A text, which is one of ${labels.slice(0, 8).join(", ")}${labels.length > 8 ? ", …" : ""}` : "A text");

/** The best label, then all labels as bars. */
export function scoreList(scores) {
  return h("div", null, h("p.verdict", null, scores[0].label), bars(scores.slice(0, 20)));
}
