import { bars, h } from "./dom.js";
import { lines, texts } from "./inputs.js";

const cosine = (a, b) => {
  const dot = (x, y) => x.reduce((sum, value, index) => sum + value * y[index], 0);
  return dot(a, b) / (Math.sqrt(dot(a, a) * dot(b, b)) || 1);
};
const two = (value) => value.toFixed(2).replace("-", "−");

export const vectors = {
  verb: "Compare",
  hint: "How alike each text is to each other, as the cosine of their vectors.",
  form: (model, { lang }) => texts([{ name: "text", label: "Texts", rows: 6, hint: "One a line." }], lang),
  settings: (model) => [{ name: "dimensions", label: "Dimensions", kind: "number", min: 1, max: model.head?.dimensions, placeholder: String(model.head?.dimensions ?? "all"), hint: "Only the first so many of each vector." }],
  call: ({ text }, parameters) => ({ json: { inputs: lines(text), ...parameters } }),
  show: (answer, { text }) => {
    const sentences = lines(text);
    const cell = (value, same) => {
      const made = h(same ? "td.number.same" : "td.number", null, two(value));
      made.style.setProperty("--share", `${Math.round(60 * Math.max(0, value))}%`);
      return made;
    };
    return h("div", null,
      h("div.scroll", { tabIndex: 0, role: "region", "aria-label": "Similarity matrix" }, h("table.matrix", null,
        h("caption.visually-hidden", null, "Cosine similarity of each pair of texts"),
        h("thead", null, h("tr", null, h("td", null), sentences.map((sentence, index) => h("th", { scope: "col", title: sentence }, String(index + 1))))),
        h("tbody", null, answer.map((vector, row) => h("tr", null,
          h("th", { scope: "row", title: sentences[row] }, h("span.index", null, String(row + 1)), h("span", null, sentences[row])),
          answer.map((other, column) => cell(cosine(vector, other), row === column))))))),
      h("p.hint", null, `${answer.length} vectors of ${answer[0].length} numbers`));
  },
  say: (answer) => `${answer.length} vectors of ${answer[0].length} numbers`,
};

export const likeness = {
  verb: "Compare",
  form: (model, { lang }) => texts([{ name: "source", label: "Sentence", rows: 1 }, { name: "others", label: "Compare with", rows: 5, hint: "One a line." }], lang),
  call: ({ source, others }) => ({ json: { inputs: { source_sentence: source, sentences: lines(others) } } }),
  show: (answer, { others }) => {
    const ranked = lines(others).map((label, index) => ({ label, score: answer[index] })).sort((a, b) => b.score - a.score);
    return h("div", null, h("p.verdict.long", null, ranked[0].label), bars(ranked, { format: two }));
  },
  say: (answer, { others }) => lines(others)[answer.indexOf(Math.max(...answer))],
};
