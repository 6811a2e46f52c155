import { ask } from "./api.js";
import { code } from "./code.js";
import { fresh, h } from "./dom.js";
import { examples } from "./examples.js";
import { controls } from "./settings.js";
import { TASKS, title } from "./tasks.js";
import { times } from "./times.js";
import { trouble } from "./trouble.js";

/**
 * Where a model is tried: its input and settings, the answer with its times and JSON, the call as code.
 *
 * A task's view has `form(model, {lang})` -> {node, value(), fill(example)}, `settings(model)`, `call(value, parameters,
 * model)` -> {json} or {file, query}, `show(answer, value, model)` -> node, and `say(answer)`, the same in few words. One whose
 * answer comes in parts has `run(call, signal, screen)` -> outcome in place of `show`.
 */
export function bench(model, task, name) {
  const { view } = TASKS[task];
  const ready = examples(model, task);
  const form = view.form(model, ready);
  const settings = controls(view.settings?.(model) ?? []);
  const run = h("button.primary", { type: "submit" }, view.verb ?? "Run");
  const stop = h("button", { type: "button", hidden: true, onclick: () => running?.abort() }, "Stop");
  const status = h("p.status", { role: "status" });
  const announced = h("p.visually-hidden", { role: "status" });
  const heading = fresh("answer");
  const output = h("div.output", null, h("p.placeholder", null, view.hint ?? "The answer appears here."));
  const panel = h("section.panel.answer", { "aria-labelledby": heading, "aria-busy": "false" }, h("h2", { id: heading }, "Answer"), output, announced);
  const snippets = code();
  let running = null;

  const path = task === model.task ? `models/${encodeURIComponent(name)}` : `pipeline/${task}/${encodeURIComponent(name)}`;
  const call = () => ({ task, model: name, path, ...view.call(form.value(), settings.values(), model) });
  const refresh = () => snippets.show(call());

  async function start() {
    running?.abort();
    const mine = (running = new AbortController());
    const asked = call();
    const value = form.value();
    refresh();
    busy(true);
    try {
      const done = await (view.run ? view.run(asked, mine.signal, output) : ask(asked, mine.signal));
      if (running !== mine) return;
      const shown = view.run ? [] : [await view.show(done.answer, value, model)];
      output.replaceChildren(...(view.run ? output.childNodes : shown), times(done), json(done.answer));
      status.textContent = "";
      announced.textContent = `Answer: ${view.say(done.answer, value)}`;
    } catch (error) {
      if (running !== mine) return;
      if (error.name === "AbortError") {
        status.textContent = "Stopped.";
        if (!view.run) output.replaceChildren(h("p.placeholder", null, "Stopped."));
      } else {
        if (error.status === undefined) console.error(error);
        output.replaceChildren(trouble(error, start));
        status.textContent = "";
      }
    } finally {
      if (running === mine) busy(false);
    }
  }

  function busy(is) {
    panel.setAttribute("aria-busy", String(is));
    run.disabled = is;
    stop.hidden = !is;
    if (is) [status.textContent, announced.textContent] = ["Running…", ""];
    else if (document.activeElement === stop) run.focus();
  }

  const chips = h("div.chips", { role: "group", "aria-label": "Examples" }, h("span", { "aria-hidden": "true" }, "Try"), ready.list.map((example) =>
    h("button.chip", { type: "button", onclick: async () => { await form.fill(example); start(); } }, example.title)));
  const left = h("form.panel.input", {
    "aria-label": title(task),
    oninput: refresh,
    onchange: refresh,
    onsubmit: (event) => { event.preventDefault(); if (form.value() !== null) start(); else status.textContent = "Choose a file first."; },
    onkeydown: (event) => { if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) left.requestSubmit(); },
  }, h("h2", null, "Input"), form.node, ready.list.length > 0 && chips, settings.node, h("div.actions", null, run, stop, status));

  Promise.resolve(form.fill(ready.list[0])).then(refresh, refresh);
  return {
    node: h("div", null, h(`div.bench.${task}`, null, left, panel), snippets.node),
    leave: () => { running?.abort(); running = null; form.leave?.(); },
  };
}

/** An answer as it came; long ones are cut for the eye, since a browser is slow with a megabyte of text. */
function json(answer) {
  const most = 20000;
  const text = JSON.stringify(answer, (key, value) => (typeof value === "string" && value.length > 2000 ? `${value.slice(0, 80)}… (${value.length} characters)` : value), 2)
    .replace(/\[\s+([-\d.e,\s]+?)\s+\]/g, (whole, numbers) => `[${numbers.replace(/\s+/g, " ")}]`);
  return h("details.json", null, h("summary", null, "JSON"),
    h("pre", { tabIndex: 0, role: "region", "aria-label": "The answer as JSON" }, h("code", null, text.length > most ? `${text.slice(0, most)}\n… (${text.length} characters)` : text)));
}
