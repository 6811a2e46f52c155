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
  const sum = (parts) => parts.reduce((all, part) => all + part.ms, 0);
  const first = timing.steps.find((step) => step.name === "first")?.ms;
  if (first !== undefined) steps.push({ name: "first token", ms: first - sum(steps) }, { name: "other tokens", ms: total - first });
  const parts = [...steps, { name: "other", ms: (total ?? 0) - sum(steps) }].filter((part) => part.ms >= 0.05);
  const whole = sum(parts) || 1;
  const colour = ({ name }) => `step-${name.replace(" ", "-")}`;
  const strip = h("div.strip", { "aria-hidden": "true" }, parts.map((part) => h(`span.${colour(part)}`)));
  parts.forEach((part, number) => (strip.children[number].style.flexGrow = String(part.ms / whole)));
  return h("div.times", null,
    h("p", null,
      h(cold ? "span.badge.cold" : "span.badge", { title: cold ? "The model was loaded for this request" : "The model was loaded already" }, cold ? "cold" : "warm"),
      total !== null && h("strong", null, ms(total)), total !== null && " in the service",
      h("span.muted", null, `${total !== null ? ", " : ""}${ms(trip)} with the way there and back`)),
    parts.length > 1 && strip,
    parts.length > 1 && h("ul.legend", null, parts.map((part) => h(`li.${colour(part)}`, { title: WORDS[part.name] ?? part.name }, part.name, " ", h("b", null, ms(part.ms))))),
    id && h("p.id", null, "request ", h("code", null, id)),
  );
}
