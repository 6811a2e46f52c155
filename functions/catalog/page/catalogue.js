import { fresh, h } from "./dom.js";
import { main, size } from "./figures.js";
import { FAMILIES, TASKS, title } from "./tasks.js";

const address = (name) => `#${new URLSearchParams({ model: name })}`;

const grouped = (models) =>
  [...FAMILIES, "Other"]
    .map((family) => ({ family, models: models.filter((model) => (TASKS[model.task]?.family ?? "Other") === family) }))
    .filter((group) => group.models.length);

/** Every model as a card, in groups, with a field that leaves those that have its words. */
export function catalogue(models) {
  const groups = grouped(models).map(({ family, models: members }) => {
    const id = fresh("family");
    const cards = members.map((model) => ({ card: card(model), words: `${model.name} ${title(model.task)} ${model.task} ${model.description}`.toLowerCase() }));
    return { node: h("section.family", { "aria-labelledby": id }, h("h2", { id }, family), h("ul.cards", null, cards.map((each) => each.card))), cards };
  });
  const count = h("p.count", { role: "status" });
  const find = h("input", { type: "search", placeholder: "Find by name, task or language", "aria-label": "Find models", oninput: () => filter() });

  function filter() {
    const wanted = find.value.toLowerCase().split(/\s+/).filter(Boolean);
    let left = 0;
    for (const { node, cards } of groups) {
      for (const { card: each, words } of cards) each.hidden = !wanted.every((word) => words.includes(word));
      const visible = cards.filter(({ card: each }) => !each.hidden).length;
      node.hidden = !visible;
      left += visible;
    }
    count.textContent = wanted.length ? `${left} of ${models.length} models` : `${models.length} models`;
  }

  filter();
  return h("div.page", null,
    h("div.hero", null,
      h("div", null, h("h1", { tabIndex: -1 }, "Models"), h("p.lead", null, "Small, quantized, measured. Choose one, try it here, and take the call with you.")),
      h("div.find", null, find, count)),
    models.length ? groups.map((group) => group.node) : h("p.empty", null, "This store has no model yet. ", h("code", null, "hearth publish"), " puts one there."),
  );
}

function card(model) {
  const figure = main(model.metrics);
  return h("li.card", null,
    h("p.kind", null, title(model.task)),
    h("h3", null, h("a", { href: address(model.name) }, model.name)),
    h("p", null, model.description),
    h("dl.facts", null,
      figure && h("div", { title: figure.better }, h("dt", null, figure.name), h("dd", null, figure.value)),
      h("div", null, h("dt", null, "size"), h("dd", null, size(model.size))),
      h("div", null, h("dt", null, "version"), h("dd", null, model.version)),
      h("div.wide", null, h("dt", null, "licence"), h("dd", null, model.licence))),
  );
}

/** The models' names in groups, for going from one to another. */
export function sidebar(models, current) {
  return h("nav", { "aria-label": "Models" }, grouped(models).map(({ family, models: members }) =>
    [h("h2", null, family), h("ul", null, members.map(({ name, task }) =>
      h("li", null, h("a", { href: address(name), "aria-current": name === current ? "page" : null }, name, h("small", null, title(task))))))]));
}
