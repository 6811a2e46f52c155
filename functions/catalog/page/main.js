import { about, facts } from "./about.js";
import { key, request } from "./api.js";
import { bench } from "./bench.js";
import { catalogue, sidebar } from "./catalogue.js";
import { h } from "./dom.js";
import { TASKS, tasksOf, title } from "./tasks.js";
import { errorPanel } from "./trouble.js";

const content = document.getElementById("main");
const list = document.getElementById("list");
let models = null;
let drawings = 0;
let dispose = () => {};

/** Draws what the address names: `#model=name`, with `&task=…` for a task other than the model's own; else all models. */
async function draw({ first = false } = {}) {
  const drawing = ++drawings;
  const parameters = new URLSearchParams(location.hash.slice(1));
  const name = parameters.get("model");
  dispose();
  dispose = () => {};
  let page;
  try {
    models ??= (await request({ path: "models" })).output.models;
    page = name ? await modelPage(name, parameters.get("task")) : catalogue(models);
  } catch (error) {
    page = h("div.page", null, h("h1", { tabIndex: -1 }, name ?? "Models"), errorPanel(error, () => draw()));
  }
  if (drawing !== drawings) return;
  content.replaceChildren(page);
  list.hidden = !name;
  list.replaceChildren(...(name && models ? [sidebar(models, name)] : []));
  document.title = name ? `${name} · Hearth` : "Hearth";
  if (first) return;
  scrollTo(0, 0);
  content.querySelector("h1").focus({ preventScroll: true });
}

async function modelPage(name, requestedTask) {
  const manifest = (await request({ path: `models/${encodeURIComponent(name)}` })).output;
  const tasks = tasksOf(manifest.task);
  const task = tasks.includes(requestedTask) ? requestedTask : tasks[0];
  if (!task) throw new Error(`This page does not support the task ${manifest.task}.`);
  const panel = bench(manifest, task, name);
  dispose = panel.dispose;
  const taskLinks = tasks.length > 1 && h("nav.tasks", { "aria-label": "Tasks of this model" }, tasks.map((other) => {
    const address = new URLSearchParams(other === manifest.task ? { model: name } : { model: name, task: other });
    return h("a", { href: `#${address}`, "aria-current": other === task ? "page" : null }, title(other));
  }));
  return h("div.page", null,
    h("p.above", null, h("a.back", { href: "#" }, "All models"), h("span.kind", null, TASKS[task].title)),
    h("h1", { tabIndex: -1 }, manifest.model),
    h("p.lead", null, manifest.description),
    facts(manifest),
    taskLinks,
    panel.node,
    about(manifest),
  );
}

document.getElementById("skip").addEventListener("click", (event) => {
  event.preventDefault(); // the fragment of the address is the route
  content.focus();
});

const keyDialog = document.getElementById("key-dialog");
const keyButton = document.getElementById("key");
keyButton.hidden = !key.get(); // a service without keys needs no button
keyButton.addEventListener("click", () => {
  keyDialog.returnValue = "cancel";
  keyDialog.showModal();
});
keyDialog.addEventListener("close", () => {
  const field = document.getElementById("key-value");
  if (keyDialog.returnValue === "use") {
    key.set(field.value.trim());
    keyButton.hidden = !key.get();
    models = null;
    draw();
  }
  field.value = "";
});

addEventListener("hashchange", () => draw());
draw({ first: true });
