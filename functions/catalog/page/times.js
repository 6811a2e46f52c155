import { h } from "./dom.js";
import { ms } from "./figures.js";

const DESCRIPTIONS = {
  manifest: "reading the manifest", fetch: "downloading the files", load: "loading the model", wait: "waiting for the model",
  read: "reading the request", encode: "encoding", run: "running the network", decode: "decoding", write: "writing the response", draw: "drawing",
};
const NOT_STEPS = new Set(["first", "gap", "gap_max"]);

/** Novelty of an input, from 0 to 1, above which it is outside what the model was evaluated with. */
const UNUSUAL = 0.98;

/** How long a request took: cold or warm, the steps of the server as a bar, and the total with the network. */
export function times({ timing, elapsed, id, novelty = 0 }) {
  const { cold, total } = timing;
  const steps = timing.steps.filter((step) => !NOT_STEPS.has(step.name));
  const sum = (parts) => parts.reduce((total, part) => total + part.ms, 0);
  const first = timing.steps.find((step) => step.name === "first")?.ms;
  if (first !== undefined) steps.push({ name: "first token", ms: first - sum(steps) }, { name: "other tokens", ms: total - first });
  const parts = [...steps, { name: "other", ms: (total ?? 0) - sum(steps) }].filter((part) => part.ms >= 0.05);
  const whole = sum(parts) || 1;
  const colour = ({ name }) => `step-${name.replace(" ", "-")}`;
  const strip = h("div.strip", { "aria-hidden": "true" }, parts.map((part) => h(`span.${colour(part)}`)));
  parts.forEach((part, index) => (strip.children[index].style.flexGrow = String(part.ms / whole)));
  return h("div.times", null,
    h("p", null,
      total !== null && h(cold ? "span.badge.cold" : "span.badge", { title: cold ? "The model was loaded for this request" : "The model was already loaded" }, cold ? "cold" : "warm"),
      total !== null && h("strong", null, ms(total)), total !== null && " in the service",
      h("span.muted", null, total !== null ? `, ${ms(elapsed)} with the network` : `${ms(elapsed)} with the upload`)),
    novelty > UNUSUAL && h("p.unusual", null, "This input is unlike those with which the model was evaluated; its answer may be worth little."),
    parts.length > 1 && strip,
    parts.length > 1 && h("ul.legend", null, parts.map((part) => h(`li.${colour(part)}`, { title: DESCRIPTIONS[part.name] ?? part.name }, part.name, " ", h("b", null, ms(part.ms))))),
    id && h("p.id", null, "request ", h("code", null, id)),
  );
}
