import { request } from "./api.js";
import { code } from "./code.js";
import { h, uniqueId } from "./dom.js";
import { examples } from "./examples.js";
import { controls } from "./settings.js";
import { TASKS, title } from "./tasks.js";
import { times } from "./times.js";
import { errorPanel } from "./trouble.js";

/**
 * The panels to try a model: its input and settings, the output with its times and JSON, the call as code.
 *
 * A task's view has `form(model, {lang})` -> {node, value(), fill(example)}, `settings(model)`, `call(value, parameters,
 * model)` -> {json} or {file, query}, `render(output, value, model)` -> node, and `summarise(output)`, a short text for
 * screen readers. A view with a streamed output has `run(call, signal, target)` -> result instead of `render`.
 */
export function bench(model, task, name) {
  const { view } = TASKS[task];
  const suitable = examples(model, task);
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

  const path = task === model.task ? `models/${encodeURIComponent(name)}` : `pipeline/${task}/${encodeURIComponent(name)}`;
  const call = () => ({ task, model: name, path, ...view.call(form.value(), settings.values(), model) });
  const refresh = () => snippets.render(call());

  async function start() {
    running?.abort();
    const controller = (running = new AbortController());
    const current = call();
    const value = form.value();
    refresh();
    setBusy(true);
    try {
      const result = await (view.run ? view.run(current, controller.signal, output) : request(current, controller.signal));
      if (running !== controller) return;
      const nodes = view.run ? [...output.childNodes] : [await view.render(result.output, value, model)];
      output.replaceChildren(...nodes, times(result), json(result.output));
      status.textContent = "";
      announcement.textContent = `Output: ${view.summarise(result.output, value)}`;
    } catch (error) {
      if (running !== controller) return;
      if (error.name === "AbortError") {
        status.textContent = "Stopped.";
        if (!view.run) output.replaceChildren(h("p.placeholder", null, "Stopped."));
      } else {
        if (error.status === undefined) console.error(error);
        output.replaceChildren(errorPanel(error, start));
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
    h("button.chip", { type: "button", onclick: async () => { await form.fill(example); start(); } }, example.title)));
  const input = h("form.panel.input", {
    "aria-label": title(task),
    oninput: refresh,
    onchange: refresh,
    onsubmit: (event) => { event.preventDefault(); if (form.value() !== null) start(); else status.textContent = "Choose a file first."; },
    onkeydown: (event) => { if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) input.requestSubmit(); },
  }, h("h2", null, "Input"), form.node, suitable.list.length > 0 && chips, settings.node, h("div.actions", null, run, stop, status));

  Promise.resolve(form.fill(suitable.list[0])).then(refresh, refresh);
  return {
    node: h("div", null, h(`div.bench.${task}`, null, input, panel), snippets.node),
    dispose: () => { running?.abort(); running = null; form.dispose?.(); },
  };
}

/** The output as JSON; long texts are cut, because a browser is slow with a megabyte of text. */
function json(output) {
  const limit = 20000;
  const text = JSON.stringify(output, (key, value) => (typeof value === "string" && value.length > 2000 ? `${value.slice(0, 80)}… (${value.length} characters)` : value), 2)
    .replace(/\[\s+([-\d.e,\s]+?)\s+\]/g, (match, numbers) => `[${numbers.replace(/\s+/g, " ")}]`);
  return h("details.json", null, h("summary", null, "JSON"),
    h("pre", { tabIndex: 0, role: "region", "aria-label": "The output as JSON" }, h("code", null, text.length > limit ? `${text.slice(0, limit)}\n… (${text.length} characters)` : text)));
}
