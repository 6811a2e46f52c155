import { bars, h, hue, percent } from "./dom.js";
import { texts } from "./inputs.js";

/** A text with marked spans: {start, end, …} count Unicode code points, not JavaScript's UTF-16 code units. */
function highlight(text, spans, mark) {
  const characters = [...text];
  const nodes = [];
  let position = 0;
  for (const span of [...spans].sort((a, b) => a.start - b.start)) {
    if (span.start < position) continue;
    nodes.push(characters.slice(position, span.start).join(""), mark(characters.slice(span.start, span.end).join(""), span));
    position = span.end;
  }
  return [...nodes, characters.slice(position).join("")];
}

export const tokenClassification = {
  form: (model, { lang }) => texts([{ name: "text", label: "Text", rows: 5 }], lang),
  settings: () => [{
    name: "aggregation_strategy", label: "Aggregation strategy", kind: "select", value: "",
    options: [["", "simple (default)"], ["none", "none: each token"], ["first", "first token of a word"], ["average", "average of a word"], ["max", "token with the highest score"]],
  }],
  call: ({ text }, parameters) => ({ json: Object.keys(parameters).length ? { inputs: text, parameters } : { inputs: text } }),
  render: (entities, { text }, model) => {
    const types = [...new Set((model.labels ?? []).map(typeOf))];
    const label = (entity) => entity.entity_group ?? entity.entity;
    const colour = (entity) => hue(Math.max(0, types.indexOf(typeOf(label(entity)))));
    return h("div", null,
      h("p.reading", null, highlight(text, entities, (part, entity) =>
        h(`mark.${colour(entity)}`, { title: percent(entity.score) }, part, h("span.tag", null, label(entity))))),
      entities.length
        ? h("table.list", null, h("thead", null, h("tr", null, ["entity", "type", "score"].map((header) => h("th", { scope: "col" }, header)))),
          h("tbody", null, entities.map((entity) => h("tr", null, h("td", null, entity.word), h("td", null, h(`span.dot.${colour(entity)}`), label(entity)), h("td.number", null, percent(entity.score))))))
        : h("p.placeholder", null, "No entities in this text."));
  },
  summarise: (entities) => `${entities.length} entities${entities.length ? `: ${entities.slice(0, 5).map((entity) => entity.word).join(", ")}` : ""}`,
};

const typeOf = (label) => label.replace(/^[BIES]-/, "");

const BLANK = /\[MASK\]|<mask>/;

export const fillMask = {
  form: (model, { lang }) => texts([{ name: "text", label: "Text with a blank", rows: 3, hint: "Write [MASK] where a word is missing." }], lang),
  settings: () => [{ name: "top_k", label: "Predictions", kind: "number", min: 1, max: 50, placeholder: "5" }],
  call: ({ text }, parameters) => ({ json: Object.keys(parameters).length ? { inputs: text, parameters } : { inputs: text } }),
  render: (output, { text }) => {
    const blanks = perBlank(output);
    const filled = text.split(new RegExp(BLANK, "g")).flatMap((part, index, parts) =>
      (index < parts.length - 1 ? [part, h("mark.hue-1", null, blanks[index]?.[0]?.token_str.trim() ?? "…")] : [part]));
    return h("div", null, h("p.reading", null, filled), blanks.map((predictions, index) =>
      [blanks.length > 1 && h("h3", null, `Blank ${index + 1}`), bars(predictions.map(({ token_str: label, score }) => ({ label: label.trim() || "␣", score })))]));
  },
  summarise: (output) => perBlank(output).map((predictions) => predictions[0].token_str).join(", "),
};

/** The predictions of each blank; for a single blank, the service returns them without the outer list. */
const perBlank = (output) => (Array.isArray(output[0]) ? output : [output]);

export const questionAnswering = {
  form: (model, { lang }) => texts([{ name: "question", label: "Question", rows: 1 }, { name: "context", label: "Context", rows: 6 }], lang),
  settings: () => [
    { name: "top_k", label: "Answers", kind: "number", min: 1, max: 20, placeholder: "1" },
    { name: "handle_impossible_answer", label: "The context may have no answer", kind: "check" },
  ],
  call: ({ question, context }, parameters) => ({ json: { inputs: { question, context }, ...(Object.keys(parameters).length ? { parameters } : {}) } }),
  render: (output, { context }) => {
    const answers = [output].flat();
    const [best] = answers;
    return h("div", null,
      h("p.verdict", null, best?.answer || "No answer in this context"),
      h("p.reading", null, best?.answer ? highlight(context, [best], (part) => h("mark.hue-1", null, part)) : context),
      bars(answers.map(({ answer: label, score }) => ({ label: label || "(no answer)", score }))));
  },
  summarise: (output) => [output].flat()[0]?.answer || "No answer",
};
