import { about, facts } from "./about.js";
import { fragment, parse } from "./address.js";
import { key, request } from "./api.js";
import { bench } from "./bench.js";
import { catalogue, sidebar } from "./catalogue.js";
import { chat } from "./chat.js";
import { code } from "./code.js";
import { comparePage } from "./compare.js";
import { h, show } from "./dom.js";
import { card, examples } from "./examples.js";
import { historyPage } from "./history.js";
import { TASKS, tasksOf, title } from "./tasks.js";
import { errorPanel } from "./trouble.js";
import { versions } from "./versions.js";

const content = document.getElementById("main");
const list = document.getElementById("list");
/** Where the list of models is beside the page; on narrower windows it is folded above it. */
const wide = matchMedia("(min-width: 1101px)");
let stored = null;
let drawings = 0;
let dispose = () => {};

// A file that is dropped beside its field must not replace the page.
for (const type of ["dragover", "drop"])
  addEventListener(type, (event) => { if (event.dataTransfer?.types.includes("Files")) event.preventDefault(); });

/** Draws what the address names (`address.js`); without a name all models. */
async function draw({ first = false } = {}) {
  const drawing = ++drawings;
  const state = parse(location.hash);
  const name = state.model || state.compare;
  dispose();
  dispose = () => {};
  let page;
  try {
    if (!name && !state.page) stored = null; // models that were published meanwhile
    const models = stored ?? (await allModels());
    if (drawing !== drawings) return;
    stored = models;
    page = await pageOf(state);
  } catch (error) {
    page = { node: h("div.page", null, h("h1", { tabIndex: -1 }, name || "Models"), errorPanel(error, () => draw())) };
  }
  if (drawing !== drawings) return page.dispose?.();
  dispose = page.dispose ?? dispose;
  show(content, page.node);
  list.hidden = !name;
  list.replaceChildren(...(name && stored ? [h("details", { open: wide.matches }, h("summary", null, "Other models"), sidebar(stored.models, name.split("@")[0]))] : []));
  document.title = `${state.page === "history" ? "History · " : state.compare ? "Compare · " : name ? `${name} · ` : ""}Hearth`;
  if (first) return;
  scrollTo(0, 0);
  content.querySelector("h1").focus({ preventScroll: true });
}

/** The list of all models, which comes in pages. */
async function allModels() {
  const all = { models: [], unavailable: [] };
  for (let after = "", more = true; more; ) {
    const { models, unavailable = [], next = "" } = (await request({ path: after ? `models?after=${encodeURIComponent(after)}` : "models" })).output;
    all.models.push(...models);
    all.unavailable.push(...unavailable);
    after = next;
    more = Boolean(next);
  }
  return all;
}

async function pageOf(state) {
  if (state.page === "history") return { node: historyPage() };
  if (state.compare && state.with) return comparePage(state);
  if (state.model) return modelPage(state);
  return { node: catalogue(stored.models, stored.unavailable) };
}

async function modelPage({ model: name, task: requestedTask, input, settings }) {
  const { models } = stored;
  const manifest = (await request({ path: `models/${encodeURIComponent(name)}` })).output;
  const tasks = tasksOf(manifest);
  const task = tasks.includes(requestedTask) ? requestedTask : tasks[0];
  if (!task) throw new Error(`This page does not support the task ${manifest.task}.`);
  const panel = TASKS[task].view ? bench(manifest, task, name, await examples(manifest, task), { input, settings }) : chat(manifest, name, code());
  const others = models.filter((other) => other.task === manifest.task && other.name !== manifest.model).map((other) => other.name);
  const taskLinks = tasks.length > 1 && h("nav.tasks", { "aria-label": "Tasks of this model" }, tasks.map((other) =>
    h("a", { href: fragment({ model: name, task: other === manifest.task ? "" : other }), "aria-current": other === task ? "page" : null }, title(other))));
  const node = h("div.page", null,
    h("p.above", null, h("a.back", { href: "#" }, "All models"), h("span.kind", null, title(task))),
    h("h1", { tabIndex: -1 }, name.includes("@") ? name : manifest.model),
    h("p.lead", null, manifest.description),
    facts(manifest),
    taskLinks,
    panel.node,
    TASKS[task].view && versions(manifest, task, others),
    about(manifest, card(`${manifest.model}@${manifest.version}`)),
  );
  return { node, dispose: panel.dispose };
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
    stored = null;
    draw();
  }
  field.value = "";
});

wide.addEventListener("change", () => { for (const folded of list.querySelectorAll("details")) folded.open = wide.matches; });
addEventListener("hashchange", () => draw());
draw({ first: true });
