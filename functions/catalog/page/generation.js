import { about, events, send } from "./api.js";
import { h } from "./dom.js";
import { texts } from "./inputs.js";

export const generation = {
  verb: "Generate",
  hint: "The text appears here, token by token.",
  form: (model, { lang }) => texts([{ name: "text", label: "Prompt", rows: 5 }], lang),
  settings: (model) => [
    { name: "max_new_tokens", label: "Tokens at most", kind: "number", min: 1, max: model.head?.context, value: Math.min(120, Math.floor((model.head?.context ?? 240) / 2)) },
    { name: "temperature", label: "Temperature", kind: "number", min: 0, max: 5, step: 0.1, value: 0.8, hint: "0: always the likeliest token." },
    { name: "top_k", label: "Top k", kind: "number", min: 1, placeholder: "all" },
    { name: "top_p", label: "Top p", kind: "number", min: 0.05, max: 1, step: 0.05, placeholder: "1" },
    { name: "repetition_penalty", label: "Repetition penalty", kind: "number", min: 0.5, max: 2, step: 0.05, placeholder: "1" },
    { name: "seed", label: "Seed", kind: "number", min: 0, placeholder: "a new one" },
  ],
  call: ({ text }, parameters) => ({ json: { inputs: text, parameters, stream: true } }),
  run: stream,
  say: (answer) => `${answer[0].details?.generated_tokens ?? ""} tokens written.`,
};

/** Writes the tokens on `screen` as they come; where the answer comes whole, all of it at once. */
async function stream(call, signal, screen) {
  const written = h("span.written");
  const rate = h("dl.facts.live", null);
  const sure = h("input", { type: "checkbox", id: "sure" });
  const text = h("div.script", { tabIndex: 0, role: "region", "aria-label": "Generated text" }, h("span.prompt", null, call.json.inputs), written);
  sure.addEventListener("change", () => text.classList.toggle("sure", sure.checked));
  screen.replaceChildren(text, rate);
  text.classList.add("writing");

  const started = performance.now();
  let first = null;
  let count = 0;
  try {
    const response = await send(call, signal);
    const outcome = about(response);
    const buffered = response.headers.get("X-Hearth-Stream") === "buffered";
    let last = null;
    if ((response.headers.get("Content-Type") ?? "").startsWith("text/event-stream")) {
      for await (const { data, timing } of events(response)) {
        if (timing) outcome.timing = timing;
        if (!data?.token) continue;
        first ??= performance.now();
        count = data.index;
        if (!data.token.special) written.append(token(data.token));
        if (data.details) last = data;
        if (!buffered) facts(rate, { count, first: first - started, spent: performance.now() - first });
        text.scrollTop = text.scrollHeight;
      }
    } else {
      const [{ generated_text: whole, details = null }] = await response.json();
      written.append(whole);
      last = { generated_text: whole, details };
    }
    const trip = performance.now() - started;
    const steps = Object.fromEntries(outcome.timing.steps.map((step) => [step.name, step.ms]));
    facts(rate, { count: last?.details?.generated_tokens ?? count, first: steps.first ?? (buffered || first === null ? null : first - started), gap: steps.gap, spent: buffered || first === null ? null : performance.now() - first, details: last?.details });
    if (buffered || first === null) rate.after(h("p.hint", null, "This deployment answers all at once: its function cannot stream."));
    if (count) rate.after(h("div.field.check", null, sure, h("label", { htmlFor: "sure" }, "Show how sure each token was")));
    return { answer: [{ generated_text: last?.generated_text ?? "", details: last?.details ?? null }], ...outcome, trip };
  } finally {
    text.classList.remove("writing");
  }
}

/** Five steps of how likely a token was, for the eye; the number for the pointer. */
function token({ text, logprob }) {
  const likely = logprob === null ? 1 : Math.exp(logprob);
  return h(`span.p${Math.min(4, Math.floor(likely * 5))}`, { title: `${(100 * likely).toFixed(1)} %` }, text);
}

function facts(list, { count, first, gap, spent, details }) {
  const speed = gap ? 1000 / gap : spent && count > 1 ? (1000 * (count - 1)) / spent : null;
  const rows = [
    ["tokens", String(count)],
    speed && ["tokens/s", speed.toFixed(speed < 10 ? 1 : 0)],
    first !== null && first !== undefined && ["first token", `${Math.round(first)} ms`],
    details?.finish_reason && ["ended by", { length: "length", eos_token: "itself", stop_sequence: "a stop word" }[details.finish_reason] ?? details.finish_reason],
    details?.seed !== undefined && details?.seed !== null && ["seed", String(details.seed)],
  ].filter(Boolean);
  list.replaceChildren(...rows.map(([name, value]) => h("div", null, h("dt", null, name), h("dd", null, value))));
}
