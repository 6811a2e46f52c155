import { request } from "./api.js";
import { fragment } from "./address.js";
import { difference } from "./difference.js";
import { h, show, uniqueId } from "./dom.js";
import { examples } from "./examples.js";
import { drafts } from "./saved.js";
import { controls } from "./settings.js";
import { TASKS, pathOf, title } from "./tasks.js";
import { times } from "./times.js";
import { errorPanel } from "./trouble.js";

/** Two models or versions on one input, side by side; what differs is marked. */
export async function comparePage({ compare: first, with: second, task: wanted, input, settings: entered }) {
  const manifests = await Promise.all([first, second].map(async (name) => (await request({ path: `models/${encodeURIComponent(name)}` })).output));
  const task = wanted in TASKS ? wanted : manifests[0].task;
  const view = TASKS[task]?.view;
  if (!view) throw new Error(`This page does not support the task ${task}.`);
  const suitable = await examples(manifests[0], task);
  const form = view.form(manifests[0], suitable);
  const settings = controls(view.settings?.(manifests[0]) ?? []);
  const names = [first, second];
  let controller = null;

  const status = h("p.status", { role: "status" });
  const verdict = h("div.difference", { role: "status" });
  const outputs = names.map(() => h("div.output", null, h("p.placeholder", null, "The output appears here.")));
  const panels = names.map((name, index) => {
    const id = uniqueId("side");
    return h("section.panel.answer", { "aria-labelledby": id, "aria-busy": "false" }, h("h2", { id }, h("a", { href: fragment({ model: name, task }) }, name)), outputs[index]);
  });

  async function start() {
    controller?.abort();
    const { signal } = (controller = new AbortController());
    const value = form.value();
    status.textContent = "Running…";
    verdict.replaceChildren();
    const results = await Promise.all(names.map((name, index) => side(name, index, value, signal)));
    if (signal.aborted) return;
    status.textContent = "";
    if (results.every(Boolean)) verdict.replaceChildren(difference(results.map((result) => result.output), names));
  }

  async function side(name, index, value, signal) {
    const output = outputs[index];
    const path = pathOf(task, name);
    panels[index].setAttribute("aria-busy", "true");
    try {
      const call = { task, model: name, path, ...view.call(value, settings.values(), manifests[index]) };
      const result = await (view.run ? view.run(call, signal, output) : request(call, signal));
      const nodes = view.run ? [...output.childNodes] : [await view.render(result.output, value, manifests[index], call)];
      signal.throwIfAborted(); // drawing may take longer than the next call
      show(output, ...nodes, times(result));
      return result;
    } catch (error) {
      if (!signal.aborted) show(output, errorPanel(error, start));
      return null;
    } finally {
      if (!signal.aborted) panels[index].setAttribute("aria-busy", "false");
    }
  }

  const pair = `${first} and ${second}`;
  const keep = () => drafts.set(pair, task, { input: form.isText ? form.value() : null, settings: settings.entered() });
  const panel = h("form.panel.input", {
    "aria-label": title(task),
    oninput: keep,
    onchange: keep,
    onsubmit: (event) => { event.preventDefault(); if (form.value() !== null) start(); else status.textContent = "Choose a file first."; },
    onkeydown: (event) => { if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) panel.requestSubmit(); },
  }, h("h2", null, "Input of both"), form.node, settings.node, h("div.actions", null, h("button.primary", { type: "submit" }, "Run both"), status));
  const draft = drafts.get(pair, task);
  settings.fill(entered ?? draft?.settings ?? {});
  if (form.isText && (input ?? draft?.input)) form.fill({ value: input ?? draft.input });
  else await form.fill(suitable.list[0]);
  return {
    node: h("div.page", null,
      h("p.above", null, h("a.back", { href: fragment({ model: first }) }, first), h("span.kind", null, title(task))),
      h("h1", { tabIndex: -1 }, "Compare"),
      h("p.lead", null, `${pair} on the same input.`),
      h("div.compare", null, panel, verdict, h(`div.bench.sides.${task}`, null, panels))),
    dispose: () => { controller?.abort(); form.dispose?.(); },
  };
}
