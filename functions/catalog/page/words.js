import { bars, h, hue, percent } from "./dom.js";
import { texts } from "./inputs.js";

/** A text with parts of it marked: {start, end, …} count its characters, not JavaScript's halves of them. */
function marked(text, parts, mark) {
  const letters = [...text];
  const nodes = [];
  let at = 0;
  for (const part of [...parts].sort((a, b) => a.start - b.start)) {
    if (part.start < at) continue;
    nodes.push(letters.slice(at, part.start).join(""), mark(letters.slice(part.start, part.end).join(""), part));
    at = part.end;
  }
  return [...nodes, letters.slice(at).join("")];
}

export const entities = {
  form: (model, { lang }) => texts([{ name: "text", label: "Text", rows: 5 }], lang),
  settings: () => [{
    name: "aggregation_strategy", label: "Tokens become entities", kind: "select", value: "",
    options: [["", "simple (usual)"], ["none", "none: each token"], ["first", "by the first token"], ["average", "by the average"], ["max", "by the surest token"]],
  }],
  call: ({ text }, parameters) => ({ json: Object.keys(parameters).length ? { inputs: text, parameters } : { inputs: text } }),
  show: (found, { text }, model) => {
    const kinds = [...new Set((model.labels ?? []).map(kindOf))];
    const kind = (entity) => entity.entity_group ?? entity.entity;
    const colour = (entity) => hue(Math.max(0, kinds.indexOf(kindOf(kind(entity)))));
    return h("div", null,
      h("p.reading", null, marked(text, found, (words, entity) =>
        h(`mark.${colour(entity)}`, { title: percent(entity.score) }, words, h("span.tag", null, kind(entity))))),
      found.length
        ? h("table.list", null, h("thead", null, h("tr", null, ["entity", "kind", "score"].map((word) => h("th", { scope: "col" }, word)))),
          h("tbody", null, found.map((entity) => h("tr", null, h("td", null, entity.word), h("td", null, h(`span.dot.${colour(entity)}`), kind(entity)), h("td.number", null, percent(entity.score))))))
        : h("p.placeholder", null, "No entity in this text."));
  },
  say: (found) => `${found.length} entities${found.length ? `: ${found.slice(0, 5).map((entity) => entity.word).join(", ")}` : ""}`,
};

const kindOf = (label) => label.replace(/^[BIES]-/, "");

const BLANK = /\[MASK\]|<mask>|___+/;

export const mask = {
  form: (model, { lang }) => texts([{ name: "text", label: "Text with a blank", rows: 3, hint: "Write [MASK] where a word is missing." }], lang),
  settings: () => [{ name: "top_k", label: "Guesses", kind: "number", min: 1, max: 50, placeholder: "5" }],
  call: ({ text }, parameters) => ({ json: Object.keys(parameters).length ? { inputs: text, parameters } : { inputs: text } }),
  show: (answer, { text }) => {
    const blanks = Array.isArray(answer[0]) ? answer : [answer];
    let number = 0;
    const filled = text.split(new RegExp(BLANK, "g")).flatMap((part, index, all) => (index < all.length - 1 ? [part, h("mark.hue-1", null, blanks[number++]?.[0]?.token_str.trim() ?? "…")] : [part]));
    return h("div", null, h("p.reading", null, filled), blanks.map((guesses, index) =>
      [blanks.length > 1 && h("h3", null, `Blank ${index + 1}`), bars(guesses.map(({ token_str: label, score }) => ({ label: label.trim() || "␣", score })))]));
  },
  say: (answer) => (Array.isArray(answer[0]) ? answer : [answer]).map((guesses) => guesses[0].token_str).join(", "),
};

export const question = {
  form: (model, { lang }) => texts([{ name: "question", label: "Question", rows: 1 }, { name: "context", label: "Context", rows: 6 }], lang),
  settings: () => [
    { name: "top_k", label: "Answers", kind: "number", min: 1, max: 20, placeholder: "1" },
    { name: "handle_impossible_answer", label: "There may be no answer", kind: "check" },
  ],
  call: ({ question: asked, context }, parameters) => ({ json: { inputs: { question: asked, context }, ...(Object.keys(parameters).length ? { parameters } : {}) } }),
  show: (answer, { context }) => {
    const answers = [answer].flat();
    const [best] = answers;
    return h("div", null,
      h("p.verdict", null, best?.answer || "No answer in this context"),
      h("p.reading", null, best?.answer ? marked(context, [best], (words) => h("mark.hue-1", null, words)) : context),
      bars(answers.map(({ answer: label, score }) => ({ label: label || "(no answer)", score }))));
  },
  say: (answer) => [answer].flat()[0]?.answer || "No answer",
};
