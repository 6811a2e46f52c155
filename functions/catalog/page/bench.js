import { fits, fragment, link } from "./address.js";
import { request } from "./api.js";
import { code } from "./code.js";
import { copyButton, h, show, uniqueId } from "./dom.js";
import { explanation } from "./explain.js";
import { feedback } from "./feedback.js";
import { remember } from "./history.js";
import { many } from "./many.js";
import { drafts } from "./saved.js";
import { controls } from "./settings.js";
import { TASKS, pathOf, title } from "./tasks.js";
import { times } from "./times.js";
import { errorPanel } from "./trouble.js";
import { LEFT, isLarge, unfinished, upload } from "./uploads.js";

/**
 * The panels to try a model: its input and settings, the output with its times and JSON, the call as code.
 *
 * A task's view has `form(model, {lang})` -> {node, value(), fill(example)}, `settings(model)`, `call(value, parameters,
 * model)` -> {json} or {file, query}, `render(output, value, model, call)` -> node, and `summarise(output)`, a short text for
 * screen readers. A view with a streamed output has `run(call, signal, target)` -> result instead of `render`.
 * `start` has the input and the settings of a link.
 */
export function bench(model, task, name, suitable, start = {}) {
  const { view } = TASKS[task];
  const form = view.form(model, suitable);
  const settings = controls(view.settings?.(model) ?? []);
  const run = h("button.primary", { type: "submit" }, view.verb ?? "Run");
  const stop = h("button", { type: "button", hidden: true, onclick: () => running?.abort() }, "Stop");
  const status = h("p.status", { role: "status" });
  const announcement = h("p.visually-hidden", { role: "status" });
  const heading = uniqueId("output");
  const output = h("div.output", null, h("p.placeholder", null, view.hint ?? "The output appears here."));
  const panel = h("section.panel.answer", { "aria-labelledby": heading, "aria-busy": "false" }, h("h2", { id: heading }, "Output"), output, announcement);
  const snippets = code();
  let running = null;

  const path = pathOf(task, name, model.task);
  const callOf = (value, parameters = settings.values()) => ({ task, model: name, path, ...view.call(value, parameters, model) });
  const typed = () => (form.isText ? form.value() : null);
  const refresh = () => {
    drafts.set(name, task, { input: typed(), settings: settings.entered() });
    try {
      snippets.render(callOf(form.value()));
    } catch {
      // the input is not complete, such as JSON while it is typed
    }
  };

  async function begin() {
    running?.abort();
    const controller = (running = new AbortController());
    const { signal } = controller;
    const value = form.value();
    const entered = settings.entered();
    refresh();
    setBusy(true);
    try {
      const call = callOf(value);
      const result = await (isLarge(call) ? upload(call, signal, output) : view.run ? view.run(call, signal, output) : request(call, signal));
      const nodes = view.run ? [...output.childNodes] : [await view.render(result.output, value, model, call)];
      signal.throwIfAborted(); // drawing may take longer than the next call
      show(output, ...[...nodes, feedback(call, result, model.labels), explanation(call, value, result), times(result), json(result.output)].filter(Boolean));
      status.textContent = "";
      const summary = view.summarise(result.output, value);
      announcement.textContent = `Output: ${summary}`;
      remember({ model: result.answered || `${model.model}@${model.version}`, task, input: form.isText ? value : null, file: value?.name ?? "", settings: entered, output: summary, elapsed: result.elapsed });
    } catch (error) {
      if (running !== controller) return;
      if (error.name === "AbortError") {
        status.textContent = "Stopped.";
        if (!view.run) show(output, h("p.placeholder", null, "Stopped."));
      } else {
        if (error.status === undefined) console.error(error);
        show(output, errorPanel(error, begin));
        status.textContent = "";
      }
    } finally {
      if (running === controller) setBusy(false);
    }
  }

  function setBusy(isBusy) {
    panel.setAttribute("aria-busy", String(isBusy));
    run.disabled = isBusy;
    stop.hidden = !isBusy;
    if (isBusy) [status.textContent, announcement.textContent] = ["Running…", ""];
    else if (document.activeElement === stop) run.focus();
  }

  const chips = h("div.chips", { role: "group", "aria-label": "Examples" }, h("span", { "aria-hidden": "true" }, "Try"), suitable.list.map((example) =>
    h("button.chip", { type: "button", onclick: async () => { if (await form.fill(example)) begin(); } }, example.title)));
  const share = copyButton("Copy link", () => {
    if (!fits(typed())) status.textContent = "The input is too long for a link, which has the settings alone.";
    return link({ model: `${model.model}@${model.version}`, task, input: typed(), settings: settings.entered() });
  });
  const input = h("form.panel.input", {
    "aria-label": title(task),
    oninput: () => { refresh(); leaveLink(); },
    onchange: refresh,
    onsubmit: (event) => { event.preventDefault(); if (form.value() !== null) begin(); else status.textContent = "Choose a file first."; },
    onkeydown: (event) => { if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) input.requestSubmit(); },
  }, h("h2", null, "Input"), form.node, suitable.list.length > 0 && chips, settings.node, h("div.actions", null, run, stop, share, status));
  const batch = many({ form, summarise: view.summarise, callsOf });

  /** Makes the calls of texts or files with what the form has now, whatever changes in it during a batch. */
  function callsOf() {
    const [value, parameters] = [form.value(), settings.values()];
    return (item) => callOf(typeof item === "string" ? { ...value, text: item } : item, parameters);
  }

  /** From the first change on, a reload keeps what was typed, not what the link had. */
  function leaveLink() {
    if (start.input || start.settings) history.replaceState(null, "", fragment({ model: name, task }));
    start = {};
  }

  /** Fills the form: what a link has, else an upload that is not finished, else what was typed, else an example. */
  async function open() {
    const draft = drafts.get(name, task);
    const job = form.set ? await unfinished(name, task) : null;
    if (form.isTouched?.()) return; // a file was chosen in the meantime
    const entered = start.settings ?? job?.settings ?? draft?.settings;
    if (entered) settings.fill(entered);
    if (job) {
      if (await form.set(job.file)) begin();
    } else if (form.isText && (start.input ?? draft?.input)) form.fill({ value: start.input ?? draft.input });
    else await form.fill(suitable.list[0]);
  }

  open().then(refresh, refresh);
  return {
    node: h("div", null, h(`div.bench.${task}`, null, input, panel), snippets.node, batch?.node),
    dispose: () => { running?.abort(LEFT); running = null; form.dispose?.(); batch?.dispose(); },
  };
}

/** The output as JSON; long texts are cut, because a browser is slow with a megabyte of text. */
function json(output) {
  const limit = 20000;
  const text = pretty(output);
  return h("details.json", null, h("summary", null, "JSON"),
    h("pre", { tabIndex: 0, role: "region", "aria-label": "The output as JSON" }, h("code", null, text.length > limit ? `${text.slice(0, limit)}\n… (${text.length} characters)` : text)));
}

/** JSON with an entry a line, except for lists of numbers. */
function pretty(value, indent = "") {
  if (typeof value === "string" && value.length > 2000) return JSON.stringify(`${value.slice(0, 80)}… (${value.length} characters)`);
  if (value === null || typeof value !== "object") return JSON.stringify(value);
  const inner = `${indent}  `;
  const isList = Array.isArray(value);
  if (isList && value.every((item) => typeof item === "number")) return `[${value.join(", ")}]`;
  const entries = isList ? value.map((item) => pretty(item, inner)) : Object.entries(value).map(([key, item]) => `${JSON.stringify(key)}: ${pretty(item, inner)}`);
  const [open, close] = isList ? "[]" : "{}";
  return entries.length ? `${open}\n${entries.map((entry) => inner + entry).join(",\n")}\n${indent}${close}` : open + close;
}
