import { events, metadata, send } from "./api.js";
import { h, labelledField, uniqueId } from "./dom.js";
import { session } from "./saved.js";
import { controls } from "./settings.js";
import { times } from "./times.js";
import { errorPanel } from "./trouble.js";

const settingsOf = (model) => [
  { name: "max_tokens", label: "Maximum tokens", kind: "number", min: 1, max: model.head?.context, value: Math.min(200, Math.floor((model.head?.context ?? 400) / 2)) },
  { name: "temperature", label: "Temperature", kind: "number", min: 0, max: 2, step: 0.1, value: 0.8, hint: "0: always the most likely token." },
  { name: "top_p", label: "Top p", kind: "number", min: 0.05, max: 1, step: 0.05, placeholder: "1" },
  { name: "frequency_penalty", label: "Frequency penalty", kind: "number", min: -2, max: 2, step: 0.1, placeholder: "0" },
  { name: "seed", label: "Seed", kind: "number", min: 0, placeholder: "random" },
  { name: "stop", label: "Stop at", kind: "text", hint: "The answer ends before this text." },
];

/** A conversation with a model that has a chat template; kept until the tab is closed. */
export function chat(model, name, snippets) {
  const kept = `hearth-chat ${name}`;
  const state = { system: "", entry: "", settings: {}, messages: [], ...session.get(kept) };
  const settings = controls(settingsOf(model));
  settings.fill(state.settings);
  const system = h("textarea", { rows: 2, value: state.system, spellcheck: false });
  const entry = h("textarea", { rows: 3, id: uniqueId("message"), value: state.entry, spellcheck: false });
  const log = h("ol.chat", { "aria-label": "Conversation" });
  const status = h("p.status");
  const announcement = h("p.visually-hidden", { role: "status" }); // the speed, which changes with each token, is not read out
  const figures = h("div");
  const sendButton = h("button.primary", { type: "submit" }, "Send");
  const stop = h("button", { type: "button", hidden: true, onclick: () => controller?.abort() }, "Stop");
  const regenerate = h("button", { type: "button", onclick: regenerateAnswer }, "Regenerate");
  const clear = h("button", { type: "button", onclick: () => { controller?.abort(); state.messages = []; figures.replaceChildren(); save(); draw(); entry.focus(); } }, "New chat");
  const confident = h("input", { type: "checkbox", id: uniqueId("sure"), onchange: () => log.classList.toggle("sure", confident.checked) });
  let controller = null;

  const messages = () => [...(system.value.trim() ? [{ role: "system", content: system.value }] : []), ...state.messages.map(({ role, content }) => ({ role, content }))];
  const call = () => ({ task: "chat", model: name, path: "v1/chat/completions", json: { model: name, messages: messages(), ...settings.values(), stream: true } });
  const save = () => session.set(kept, { system: system.value, entry: entry.value, settings: settings.entered(), messages: state.messages.filter(({ content }) => content) });
  const refresh = () => {
    const pending = entry.value.trim() && !controller ? [{ role: "user", content: entry.value.trim() }] : [];
    const current = call();
    const asked = [...current.json.messages, ...pending];
    if (asked.at(-1)?.role === "assistant") asked.pop();
    snippets.render({ ...current, json: { ...current.json, messages: asked } });
  };

  function draw() {
    log.replaceChildren(...state.messages.map(bubble));
    regenerate.hidden = clear.hidden = !state.messages.length;
    refresh();
  }

  /** Answers the last message, in place of a former answer or of a part of it. */
  function regenerateAnswer() {
    if (state.messages.at(-1)?.role === "assistant") state.messages.pop();
    answer();
  }

  async function answer() {
    const { signal } = (controller = new AbortController());
    const current = call();
    const message = { role: "assistant", content: "", tokens: [] };
    state.messages.push(message);
    draw();
    setBusy(true);
    const text = log.lastElementChild.querySelector(".content");
    const started = performance.now();
    let firstAt = null;
    try {
      current.json.logprobs = true;
      const response = await send(current, signal);
      const result = metadata(response);
      for await (const { data, timing } of events(response, signal)) {
        if (timing) result.timing = timing;
        const choice = data?.choices?.[0];
        if (!choice?.delta?.content) continue;
        firstAt ??= performance.now();
        message.content += choice.delta.content;
        for (const token of choice.logprobs?.content ?? []) message.tokens.push([token.token, token.logprob]);
        text.append(span(choice.delta.content, choice.logprobs?.content?.[0]?.logprob));
        log.scrollTop = log.scrollHeight;
        status.textContent = speed(message.tokens.length, firstAt);
      }
      figures.replaceChildren(times({ ...result, elapsed: performance.now() - started }));
      status.textContent = speed(message.tokens.length, firstAt);
      announcement.textContent = `Model: ${message.content}`;
    } catch (error) {
      if (!message.content) state.messages.pop();
      if (error.name === "AbortError") status.textContent = announcement.textContent = "Stopped.";
      else {
        status.textContent = announcement.textContent = "";
        figures.replaceChildren(errorPanel(error, regenerateAnswer));
      }
    } finally {
      controller = null;
      setBusy(false);
      save();
      draw();
    }
  }

  function setBusy(isBusy) {
    log.setAttribute("aria-busy", String(isBusy));
    sendButton.disabled = isBusy;
    stop.hidden = !isBusy;
    regenerate.disabled = isBusy;
    if (isBusy) { status.textContent = announcement.textContent = "Writing…"; regenerate.hidden = true; figures.replaceChildren(); }
  }

  const form = h("form.panel", {
    "aria-label": "Chat",
    oninput: () => { save(); refresh(); },
    onsubmit: (event) => {
      event.preventDefault();
      if (!entry.value.trim() || controller) return;
      state.messages.push({ role: "user", content: entry.value.trim() });
      entry.value = "";
      save();
      answer();
    },
    onkeydown: (event) => { if (event.target === entry && event.key === "Enter" && !event.shiftKey && !event.isComposing) { event.preventDefault(); form.requestSubmit(); } },
  },
  h("details", { open: Boolean(state.system) }, h("summary", null, "System prompt"), labelledField("Instructions for the whole conversation", system)),
  log,
  labelledField("Message", entry, "Enter sends, Shift+Enter starts a new line."),
  h("div.actions", null, sendButton, stop, regenerate, clear, status, announcement),
  h("div.field.check", null, confident, h("label", { htmlFor: confident.id }, "Show the probability of each token")),
  settings.node, figures);
  draw();
  return { node: h("div", null, h("div.talk", null, form), snippets.node), dispose: () => controller?.abort() };
}

function bubble({ role, content, tokens = [] }) {
  const text = tokens.map(([token]) => token).join("") === content ? tokens.map(([token, logprob]) => span(token, logprob)) : [content];
  return h(`li.${role}`, null, h("span.visually-hidden", null, role === "user" ? "You: " : "Model: "), h("p.content.written", null, text));
}

function span(text, logprob) {
  if (logprob === undefined || logprob === null) return h("span", null, text);
  const probability = Math.exp(logprob);
  return h(`span.p${Math.min(4, Math.floor(probability * 5))}`, { title: `${(100 * probability).toFixed(1)} %` }, text);
}

const speed = (count, firstAt) => {
  const seconds = (performance.now() - firstAt) / 1000;
  return count > 1 && seconds > 0.05 ? `${count} tokens, ${((count - 1) / seconds).toFixed(0)} tokens/s` : `${count} tokens`;
};
