import { events, metadata, send } from "./api.js";
import { h, uniqueId } from "./dom.js";
import { texts } from "./inputs.js";

export const textGeneration = {
  verb: "Generate",
  hint: "The text appears here, token by token.",
  form: (model, { lang }) => texts([{ name: "text", label: "Prompt", rows: 5 }], lang),
  settings: (model) => [
    { name: "max_new_tokens", label: "Maximum tokens", kind: "number", min: 1, max: model.head?.context, value: Math.min(120, Math.floor((model.head?.context ?? 240) / 2)) },
    { name: "temperature", label: "Temperature", kind: "number", min: 0, max: 5, step: 0.1, value: 0.8, hint: "0: always the most likely token." },
    { name: "top_k", label: "Top k", kind: "number", min: 1, placeholder: "all" },
    { name: "top_p", label: "Top p", kind: "number", min: 0.05, max: 1, step: 0.05, placeholder: "1" },
    { name: "repetition_penalty", label: "Repetition penalty", kind: "number", min: 0.5, max: 2, step: 0.05, placeholder: "1" },
    { name: "seed", label: "Seed", kind: "number", min: 0, placeholder: "random" },
  ],
  call: ({ text }, parameters) => ({ json: { inputs: text, parameters, stream: true } }),
  run: stream,
  summarise: (output) => `${output[0].details?.generated_tokens ?? ""} tokens generated.`,
};

/** Writes tokens into `target` as they arrive; a response that is not streamed appears at once. */
async function stream(call, signal, target) {
  const written = h("span.written");
  const figures = h("dl.facts.live", null);
  const showProbabilities = h("input", { type: "checkbox", id: uniqueId("sure") });
  const text = h("div.script", { tabIndex: 0, role: "region", "aria-label": "Generated text" }, h("span.prompt", null, call.json.inputs), written);
  showProbabilities.addEventListener("change", () => text.classList.toggle("sure", showProbabilities.checked));
  target.replaceChildren(text, figures);
  text.classList.add("writing");

  const started = performance.now();
  let firstAt = null;
  let count = 0;
  try {
    const response = await send(call, signal);
    const result = metadata(response);
    const isBuffered = response.headers.get("X-Hearth-Stream") === "buffered";
    let last = null;
    if ((response.headers.get("Content-Type") ?? "").startsWith("text/event-stream")) {
      for await (const { data, timing } of events(response, signal)) {
        if (timing) result.timing = timing;
        if (!data?.token) continue;
        firstAt ??= performance.now();
        count = data.index;
        if (!data.token.special) written.append(token(data.token));
        if (data.details) last = data;
        if (!isBuffered) showFigures(figures, { count, first: firstAt - started, elapsed: performance.now() - firstAt });
        text.scrollTop = text.scrollHeight;
      }
    } else {
      const [{ generated_text, details = null }] = await response.json();
      written.append(generated_text);
      last = { generated_text, details };
    }
    const elapsed = performance.now() - started;
    const steps = Object.fromEntries(result.timing.steps.map((step) => [step.name, step.ms]));
    const isStreamed = !isBuffered && firstAt !== null;
    showFigures(figures, {
      count: last?.details?.generated_tokens ?? count,
      first: steps.first ?? (isStreamed ? firstAt - started : null),
      gap: steps.gap,
      elapsed: isStreamed ? performance.now() - firstAt : null,
      details: last?.details,
    });
    if (!isStreamed) figures.after(h("p.hint", null, "This deployment does not stream: the text arrives all at once."));
    if (count) figures.after(h("div.field.check", null, showProbabilities, h("label", { htmlFor: showProbabilities.id }, "Show the probability of each token")));
    return { output: [{ generated_text: last?.generated_text ?? "", details: last?.details ?? null }], ...result, elapsed };
  } finally {
    text.classList.remove("writing");
  }
}

/** A token whose class has its probability in five steps; the tooltip has the number. */
function token({ text, logprob }) {
  const probability = logprob === null ? 1 : Math.exp(logprob);
  return h(`span.p${Math.min(4, Math.floor(probability * 5))}`, { title: `${(100 * probability).toFixed(1)} %` }, text);
}

function showFigures(list, { count, first, gap, elapsed, details }) {
  const speed = gap ? 1000 / gap : elapsed && count > 1 ? (1000 * (count - 1)) / elapsed : null;
  const rows = [
    ["tokens", String(count)],
    speed && ["tokens/s", speed.toFixed(speed < 10 ? 1 : 0)],
    first !== null && first !== undefined && ["first token", `${Math.round(first)} ms`],
    details?.finish_reason && ["finish reason", { length: "length", eos_token: "end of text", stop_sequence: "stop sequence" }[details.finish_reason] ?? details.finish_reason],
    details?.seed !== undefined && details?.seed !== null && ["seed", String(details.seed)],
  ].filter(Boolean);
  list.replaceChildren(...rows.map(([name, value]) => h("div", null, h("dt", null, name), h("dd", null, value))));
}
