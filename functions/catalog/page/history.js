import { fits, fragment } from "./address.js";
import { h } from "./dom.js";
import { ms } from "./figures.js";
import { local } from "./saved.js";
import { title } from "./tasks.js";

const NAME = "hearth-history";
const MAX_CALLS = 300;
const MAX_TEXT = 4000;
const SHOWN = 100;

const calls = () => local.get(NAME) ?? [];

/** Remembers a call in this browser: {model, task, input, settings, file, output, elapsed}. Long inputs are cut. */
export function remember(call) {
  const input = fits(call.input, MAX_TEXT) ? call.input : null;
  const entry = { ...call, input, excerpt: call.file || Object.values(call.input ?? {}).join(" · ").slice(0, 200), output: String(call.output).slice(0, 300), at: Date.now() };
  for (let count = MAX_CALLS; count > 0; count = Math.floor(count / 2))
    if (local.set(NAME, [entry, ...calls()].slice(0, count))) return;
}

/** The page with all calls: searched by their words, opened again, deleted. */
export function historyPage() {
  const list = h("ul.history");
  const count = h("p.count", { role: "status" });
  const search = h("input", { type: "search", placeholder: "Find by model, input or output", "aria-label": "Find calls", oninput: () => draw() });
  const deleteAll = h("button", { type: "button", onclick: () => { if (confirm("Delete the whole history of this browser?")) { local.set(NAME, null); draw(); } } }, "Delete all");

  function draw() {
    const terms = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    const entries = calls();
    const matches = entries.filter((entry) => {
      const text = `${entry.model} ${title(entry.task)} ${entry.excerpt} ${JSON.stringify(entry.input ?? "")} ${entry.output}`.toLowerCase();
      return terms.every((term) => text.includes(term));
    });
    count.textContent = terms.length ? `${matches.length} of ${entries.length} calls` : entries.length === 1 ? "1 call" : `${entries.length} calls`;
    deleteAll.hidden = !entries.length;
    list.replaceChildren(...matches.slice(0, SHOWN).map(row));
    if (!matches.length) list.append(h("li.placeholder", null, entries.length ? "No call has these words." : "Calls that you make on this page appear here."));
  }

  function row(entry) {
    const remove = () => {
      local.set(NAME, calls().filter((other) => other.at !== entry.at));
      draw();
      search.focus();
    };
    const { model, task, input, settings } = entry;
    return h("li", null,
      h("div", null,
        h("p", null, h("a", { href: fragment({ model, task, input, settings }, MAX_TEXT) }, model), h("span.muted", null, ` ${title(task)} · `), h("time.muted", { dateTime: new Date(entry.at).toISOString() }, new Date(entry.at).toLocaleString("en", { dateStyle: "medium", timeStyle: "short" })), h("span.muted", null, ` · ${ms(entry.elapsed)}`)),
        h("p.excerpt", null, entry.excerpt || "(no text)"),
        h("p.outcome", null, entry.output)),
      h("button.quiet", { type: "button", onclick: remove, "aria-label": `Delete the call of ${model}: ${entry.excerpt.slice(0, 40)}` }, "Delete"));
  }

  draw();
  return h("div.page", null,
    h("div.hero", null,
      h("div", null, h("h1", { tabIndex: -1 }, "History"), h("p.lead", null, "The calls made on this page, kept in this browser only. Files themselves are not kept.")),
      h("div.search", null, search, count)),
    list, h("div.actions", null, deleteAll));
}
