import { h, uniqueId } from "./dom.js";
import { mainMetric, size } from "./figures.js";
import { FAMILIES, TASKS, title } from "./tasks.js";

const address = (name) => `#${new URLSearchParams({ model: name })}`;

const grouped = (models) =>
  [...FAMILIES, "Other"]
    .map((family) => ({ family, models: models.filter((model) => (TASKS[model.task]?.family ?? "Other") === family) }))
    .filter((group) => group.models.length);

/** All models as cards, in groups, with a search field. */
export function catalogue(models, unavailable = []) {
  const groups = grouped(models).map(({ family, models: members }) => {
    const id = uniqueId("family");
    const cards = members.map((model) => ({ card: card(model), text: `${model.name} ${title(model.task)} ${model.task} ${family} ${model.description}`.toLowerCase() }));
    return { node: h("section.family", { "aria-labelledby": id }, h("h2", { id }, family), h("ul.cards", null, cards.map((entry) => entry.card))), cards };
  });
  const count = h("p.count", { role: "status" });
  const none = h("p.placeholder", { hidden: true }, "No model has all of these words. Search by name, task, family or language.");
  const searchField = h("input", { type: "search", placeholder: "Find by name, task or language", "aria-label": "Find models", oninput: () => filter() });

  function filter() {
    const terms = searchField.value.toLowerCase().split(/\s+/).filter(Boolean);
    let matches = 0;
    for (const { node, cards } of groups) {
      for (const entry of cards) entry.card.hidden = !terms.every((term) => entry.text.includes(term));
      const visible = cards.filter((entry) => !entry.card.hidden).length;
      node.hidden = !visible;
      matches += visible;
    }
    none.hidden = matches > 0 || !models.length;
    count.textContent = terms.length ? `${matches} of ${models.length} models` : `${models.length} models`;
  }

  filter();
  return h("div.page", null,
    h("div.hero", null,
      h("div", null, h("h1", { tabIndex: -1 }, "Models"), h("p.lead", null, "Try one here, and copy the call as code.")),
      h("div.search", null, searchField, count)),
    models.length ? groups.map((group) => group.node) : h("p.empty", null, "This store has no models yet. Add one with ", h("code", null, "hearth publish"), "."),
    none,
    unavailable.length > 0 && h("section.family", { "aria-labelledby": "unavailable" }, h("h2", { id: "unavailable" }, "Unavailable"),
      h("p.muted", null, "These models are in the store but cannot be served."),
      h("ul.plain", null, unavailable.map(({ name, error }) => h("li", null, h("strong", null, name), h("p.bad", null, error))))),
  );
}

function card(model) {
  const metric = mainMetric(model.metrics);
  return h("li.card", null,
    h("p.kind", null, title(model.task)),
    h("h3", null, h("a", { href: address(model.name) }, model.name)),
    h("p", null, model.description),
    h("dl.facts", null,
      metric && h("div", { title: metric.direction }, h("dt", null, metric.name), h("dd", null, metric.value)),
      h("div", null, h("dt", null, "size"), h("dd", null, size(model.size))),
      h("div", null, h("dt", null, "version"), h("dd", null, model.version)),
      h("div.wide", null, h("dt", null, "licence"), h("dd", null, model.licence))),
  );
}

/** Links to all models, in groups. */
export function sidebar(models, current) {
  return h("nav", { "aria-label": "Models" }, grouped(models).map(({ family, models: members }) =>
    [h("h2", null, family), h("ul", null, members.map(({ name, task }) =>
      h("li", null, h("a", { href: address(name), "aria-current": name === current ? "page" : null }, name, h("small", null, title(task))))))]));
}
