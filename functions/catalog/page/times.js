import { h } from "./dom.js";
import { ms } from "./figures.js";

const WORDS = {
  manifest: "manifest", fetch: "fetch of the files", load: "load of the model", wait: "wait for the model", read: "reading the request",
  encode: "encoding", run: "the network", decode: "decoding", write: "writing the answer", draw: "drawing",
};
const NOT_STEPS = new Set(["first", "gap", "gap_max"]);

/** How long an answer took: cold or warm, the server's steps as parts of a bar, and the way there and back. */
export function times({ timing, trip, id }) {
  const { cold, total } = timing;
  const steps = timing.steps.filter((step) => !NOT_STEPS.has(step.name));
  const sum = steps.reduce((all, step) => all + step.ms, 0);
  const parts = [...steps, { name: "other", ms: Math.max(0, (total ?? sum) - sum) }].filter((part) => part.ms >= 0.05);
  const whole = parts.reduce((all, part) => all + part.ms, 0) || 1;
  const strip = h("div.strip", { "aria-hidden": "true" }, parts.map((part) => h(`span.step-${part.name}`)));
  parts.forEach((part, number) => (strip.children[number].style.flexGrow = String(part.ms / whole)));
  return h("div.times", null,
    h("p", null,
      h(cold ? "span.badge.cold" : "span.badge", { title: cold ? "The model was loaded for this request" : "The model was loaded already" }, cold ? "cold" : "warm"),
      total !== null && h("strong", null, ms(total)), total !== null && " in the service",
      h("span.muted", null, `${total !== null ? ", " : ""}${ms(trip)} with the way there and back`)),
    parts.length > 1 && strip,
    parts.length > 1 && h("ul.legend", null, parts.map((part) => h(`li.step-${part.name}`, { title: WORDS[part.name] ?? part.name }, part.name, " ", h("b", null, ms(part.ms))))),
    id && h("p.id", null, "request ", h("code", null, id)),
  );
}
