import { h } from "./dom.js";
import { lines, texts } from "./inputs.js";

const names = new Intl.DisplayNames(["en"], { type: "language" });
const named = (code) => { try { return names.of(code) ?? code; } catch { return code; } };

export const translation = {
  verb: "Translate",
  hint: "The translation appears here, line by line.",
  form: (model, { lang }) => texts([{ name: "text", label: model.head?.source?.[0] ? named(model.head.source[0]) : "Text", rows: 6, hint: "A sentence a line." }], model.head?.source?.[0] ?? lang),
  settings: (model) => [
    model.head?.target?.length > 1 && { name: "tgt_lang", label: "Into", kind: "select", value: model.head.target[0], options: model.head.target.map((code) => [code, named(code)]) },
    { name: "num_beams", label: "Beams", kind: "number", min: 1, max: 16, hint: "More search longer for a better sentence." },
    { name: "max_new_tokens", label: "Tokens at most", kind: "number", min: 1, max: model.head?.max_new },
  ].filter(Boolean),
  call: ({ text }, parameters, model) => {
    const sentences = lines(text);
    if (parameters.tgt_lang) parameters = { src_lang: model.head.source[0], ...parameters }; // clients send both
    return { json: { inputs: sentences.length === 1 ? sentences[0] : sentences, ...(Object.keys(parameters).length ? { parameters } : {}) } };
  },
  show: (answer, { text }, model) => {
    const sources = lines(text);
    const lang = model.head?.target?.[0]?.split("-")[0] ?? "";
    return h("ol.pairs-of-lines", null, answer.map(({ translation_text: words }, index) =>
      h("li", null, h("p.source", { lang: model.head?.source?.[0] ?? "" }, sources[index]), h("p.target", { lang }, words))));
  },
  say: (answer) => answer.map((each) => each.translation_text).join(" "),
};
