import { about, facts } from "./about.js";
import { ask, key } from "./api.js";
import { bench } from "./bench.js";
import { catalogue, sidebar } from "./catalogue.js";
import { h } from "./dom.js";
import { able, TASKS, title } from "./tasks.js";
import { trouble } from "./trouble.js";

const stage = document.getElementById("main");
const list = document.getElementById("list");
let models = null;
let shown = 0;
let leave = () => {};

/** Draws what the address asks: `#model=name`, with `&task=…` for what it can do beside its own task; else all models. */
async function draw({ first = false } = {}) {
  const turn = ++shown;
  const wanted = new URLSearchParams(location.hash.slice(1));
  const name = wanted.get("model");
  leave();
  leave = () => {};
  let content;
  try {
    models ??= (await ask({ path: "models" })).answer.models;
    content = name ? await model(name, wanted.get("task")) : catalogue(models);
  } catch (refusal) {
    content = h("div.page", null, h("h1", { tabIndex: -1 }, name ?? "Models"), trouble(refusal, () => draw()));
  }
  if (turn !== shown) return;
  stage.replaceChildren(content);
  list.hidden = !name;
  list.replaceChildren(...(name && models ? [sidebar(models, name)] : []));
  document.title = name ? `${name} · Hearth` : "Hearth";
  if (first) return;
  scrollTo(0, 0);
  stage.querySelector("h1").focus({ preventScroll: true });
}

async function model(name, asked) {
  const manifest = (await ask({ path: `models/${encodeURIComponent(name)}` })).answer;
  const tasks = able(manifest.task);
  const task = tasks.includes(asked) ? asked : tasks[0];
  if (!task) throw new Error(`This page does not know the task ${manifest.task}.`);
  const made = bench(manifest, task, name);
  leave = made.leave;
  const more = tasks.length > 1 && h("nav.tasks", { "aria-label": "Tasks of this model" }, tasks.map((each) => {
    const address = new URLSearchParams(each === manifest.task ? { model: name } : { model: name, task: each });
    return h("a", { href: `#${address}`, "aria-current": each === task ? "page" : null }, title(each));
  }));
  return h("div.page", null,
    h("p.above", null, h("a.back", { href: "#" }, "All models"), h("span.kind", null, TASKS[task].title)),
    h("h1", { tabIndex: -1 }, manifest.model),
    h("p.lead", null, manifest.description),
    facts(manifest),
    more,
    made.node,
    about(manifest),
  );
}

document.getElementById("skip").addEventListener("click", (event) => {
  event.preventDefault(); // the address is the route
  stage.focus();
});

const keyhole = document.getElementById("keyhole");
const keyButton = document.getElementById("key");
keyButton.hidden = !key.get(); // a service that wants none needs no button
keyButton.addEventListener("click", () => {
  keyhole.returnValue = "cancel";
  keyhole.showModal();
});
keyhole.addEventListener("close", () => {
  const field = document.getElementById("keyhole-value");
  if (keyhole.returnValue === "keep") {
    key.set(field.value.trim());
    keyButton.hidden = !key.get();
    models = null;
    draw();
  }
  field.value = "";
});

addEventListener("hashchange", () => draw());
draw({ first: true });
