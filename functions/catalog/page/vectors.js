import { bars, h } from "./dom.js";
import { lines, texts } from "./inputs.js";

const cosine = (a, b) => {
  const dot = (x, y) => x.reduce((sum, value, index) => sum + value * y[index], 0);
  return dot(a, b) / (Math.sqrt(dot(a, a) * dot(b, b)) || 1);
};
const twoDecimals = (value) => value.toFixed(2).replace("-", "−");

export const featureExtraction = {
  verb: "Compare",
  hint: "The cosine similarity of every pair of texts appears here.",
  form: (model, { lang }) => texts([{ name: "text", label: "Texts", rows: 6, hint: "One per line." }], lang),
  settings: (model) => [{ name: "dimensions", label: "Dimensions", kind: "number", min: 1, max: model.head?.dimensions, placeholder: String(model.head?.dimensions ?? "all"), hint: "Keep only the first dimensions of each vector." }],
  call: ({ text }, parameters) => ({ json: { inputs: lines(text), ...parameters } }),
  render: (embeddings, { text }) => {
    const sentences = lines(text);
    const cell = (value, isSame) => {
      const node = h(isSame ? "td.number.same" : "td.number", null, twoDecimals(value));
      node.style.setProperty("--share", `${Math.round(60 * Math.max(0, value))}%`);
      return node;
    };
    return h("div", null,
      h("div.scroll", { tabIndex: 0, role: "region", "aria-label": "Similarity matrix" }, h("table.matrix", null,
        h("caption.visually-hidden", null, "Cosine similarity of each pair of texts"),
        h("thead", null, h("tr", null, h("td", null), sentences.map((sentence, index) => h("th", { scope: "col", title: sentence }, String(index + 1))))),
        h("tbody", null, embeddings.map((vector, row) => h("tr", null,
          h("th", { scope: "row", title: sentences[row] }, h("span.index", null, String(row + 1)), h("span", null, sentences[row])),
          embeddings.map((other, column) => cell(cosine(vector, other), row === column))))))),
      h("p.hint", null, `${embeddings.length} vectors of ${embeddings[0].length} numbers`));
  },
  summarise: (embeddings) => `${embeddings.length} vectors of ${embeddings[0].length} numbers`,
};

export const sentenceSimilarity = {
  verb: "Compare",
  form: (model, { lang }) => texts([{ name: "source", label: "Sentence", rows: 1 }, { name: "others", label: "Compare with", rows: 5, hint: "One per line." }], lang),
  call: ({ source, others }) => ({ json: { inputs: { source_sentence: source, sentences: lines(others) } } }),
  render: (scores, { others }) => {
    const ranked = lines(others).map((label, index) => ({ label, score: scores[index] })).sort((a, b) => b.score - a.score);
    return h("div", null, h("p.verdict.long", null, ranked[0].label), bars(ranked, { format: twoDecimals }));
  },
  summarise: (scores, { others }) => lines(others)[scores.indexOf(Math.max(...scores))],
};

/** The words of "king - man + woman": {positive, negative}. A sign within a word belongs to it. */
function terms(text) {
  const words = { positive: [], negative: [] };
  for (const [, sign, word] of text.matchAll(/(?:^|\s)\s*([+\-−]?)\s*([^\s+\-−]\S*)/g)) words[sign === "" || sign === "+" ? "positive" : "negative"].push(word);
  return words;
}

export const analogies = {
  verb: "Find",
  hint: "The nearest words appear here.",
  form: (model, { lang }) => texts([{ name: "words", label: "Words", rows: 1, hint: "Such as king - man + woman. A single word shows its neighbours." }], lang),
  settings: () => [{ name: "top_k", label: "Neighbours", kind: "number", min: 1, max: 1000, placeholder: "10" }],
  call: ({ words }, parameters) => ({ json: { inputs: terms(words), ...parameters } }),
  render: (neighbours) => h("div", null, h("p.verdict", null, neighbours[0].word), bars(neighbours.map(({ word: label, score }) => ({ label, score })), { format: twoDecimals })),
  summarise: ([best]) => best.word,
};

export const textRanking = {
  verb: "Rank",
  form: (model, { lang }) => texts([{ name: "query", label: "Query", rows: 1 }, { name: "others", label: "Texts", rows: 5, hint: "One per line." }], lang),
  settings: () => [{ name: "raw_scores", label: "Scores as logits", kind: "check" }],
  call: ({ query, others }, parameters) => ({ json: { inputs: { query, texts: lines(others) }, ...(Object.keys(parameters).length ? { parameters } : {}) } }),
  render: (ranked, { others }) => {
    const bestFirst = ranked.map(({ index, score }) => ({ label: lines(others)[index], score }));
    return h("div", null, h("p.verdict.long", null, bestFirst[0].label), bars(bestFirst, { format: twoDecimals }));
  },
  summarise: (ranked, { others }) => lines(others)[ranked[0].index],
};
