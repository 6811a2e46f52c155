import { h } from "./dom.js";
import { lines, texts } from "./inputs.js";

const languageNames = new Intl.DisplayNames(["en"], { type: "language" });
const languageName = (code) => { try { return languageNames.of(code) ?? code; } catch { return code; } };

export const translation = {
  verb: "Translate",
  hint: "The translation appears here, line by line.",
  form: (model, { lang }) => texts([{ name: "text", label: model.head?.source?.[0] ? languageName(model.head.source[0]) : "Text", rows: 6, hint: "One sentence per line." }], model.head?.source?.[0] ?? lang),
  settings: (model) => [
    model.head?.target?.length > 1 && { name: "tgt_lang", label: "Target language", kind: "select", value: model.head.target[0], options: model.head.target.map((code) => [code, languageName(code)]) },
    { name: "num_beams", label: "Beams", kind: "number", min: 1, max: 16, hint: "More beams take longer and may translate better." },
    { name: "max_new_tokens", label: "Maximum tokens", kind: "number", min: 1, max: model.head?.max_new },
  ].filter(Boolean),
  call: ({ text }, parameters, model) => {
    const sentences = lines(text);
    if (parameters.tgt_lang) parameters = { src_lang: model.head.source[0], ...parameters }; // clients need both
    return { json: { inputs: sentences.length === 1 ? sentences[0] : sentences, ...(Object.keys(parameters).length ? { parameters } : {}) } };
  },
  render: (translations, { text }, model, { json: { parameters } }) => {
    const sources = lines(text);
    const lang = (parameters?.tgt_lang ?? model.head?.target?.[0])?.split("-")[0] ?? "";
    return h("ol.pairs-of-lines", null, translations.map(({ translation_text: target }, index) =>
      h("li", null, h("p.source", { lang: model.head?.source?.[0] ?? "" }, sources[index]), h("p.target", { lang }, target))));
  },
  summarise: (translations) => translations.map((translation) => translation.translation_text).join(" "),
};

const beams = { name: "num_beams", label: "Beams", kind: "number", min: 1, max: 16, hint: "More beams take longer and may write better." };

/** A view of one text and the text in the field `field` of its answer. */
const writing = (verb, field, hint) => ({
  verb,
  hint,
  form: (model, { lang }) => texts([{ name: "text", label: "Text", rows: 8 }], lang),
  settings: (model) => [beams, { name: "max_new_tokens", label: "Maximum tokens", kind: "number", min: 1, max: model.head?.max_new }],
  call: ({ text }, parameters) => ({ json: { inputs: text, ...(Object.keys(parameters).length ? { parameters } : {}) } }),
  render: ([answer]) => h("p.verdict.long", null, answer[field]),
  summarise: ([answer]) => answer[field],
});

export const summarization = writing("Summarize", "summary_text", "The summary appears here.");
export const text2textGeneration = writing("Write", "generated_text", "The text appears here.");
