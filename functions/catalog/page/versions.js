import { fragment } from "./address.js";
import { request } from "./api.js";
import { h } from "./dom.js";
import { mainMetric, metricValue, size } from "./figures.js";

/** The versions and aliases of a model with their metrics, and what it can be compared with; filled when it arrives. */
export function versions(manifest, task, others) {
  const { model } = manifest;
  const section = h("section.about", { "aria-labelledby": "versions", hidden: true });
  request({ path: `models/${encodeURIComponent(model)}/versions` }).then(({ output }) => {
    const rivals = [...output.versions.filter(({ version }) => version !== manifest.version).map(({ version }) => `${model}@${version}`), ...others];
    section.append(h("h2", { id: "versions" }, "Versions"), table(model, manifest.version, output));
    if (rivals.length) section.append(chooser(`${model}@${manifest.version}`, task, rivals));
    section.hidden = false;
  }, () => section.remove()); // without it the page works as before
  return section;
}

function table(model, current, { versions, aliases }) {
  const names = (version) => Object.entries(aliases).filter(([, alias]) => alias.version === version).map(([name]) => name);
  const roles = (version) => Object.entries(aliases).flatMap(([name, alias]) => ["canary", "shadow"].filter((role) => alias[role]?.version === version).map((role) => `${role} of ${name}, ${(100 * alias[role].share).toFixed(0)} %`));
  const metric = mainMetric(versions[0]?.metrics ?? {}, versions[0]?.metric)?.name;
  return h("div.scroll", { tabIndex: 0, role: "region", "aria-label": "Versions" }, h("table.list", null,
    h("thead", null, h("tr", null, ["version", "aliases", metric, "ms", "size", "precision"].filter(Boolean).map((name) => h([metric, "ms", "size"].includes(name) ? "th.number" : "th", { scope: "col" }, name)))),
    h("tbody", null, versions.map((row) => h("tr", null,
      h("th", { scope: "row" }, row.version === current ? h("strong", null, `${row.version} (this one)`) : h("a", { href: fragment({ model: `${model}@${row.version}` }) }, row.version)),
      h("td", null, names(row.version).map((name) => [h("a", { href: fragment({ model: `${model}@${name}` }) }, name), " "]), roles(row.version).join("; ")),
      metric && h("td.number", null, metric in row.metrics ? metricValue(metric, row.metrics[metric]) : "–"),
      h("td.number", null, row.metrics.milliseconds?.toFixed(1) ?? "–"),
      h("td.number", null, size(row.size)),
      h("td", null, row.quantization))))));
}

function chooser(own, task, rivals) {
  const select = h("select", { id: "rival" }, rivals.map((name) => h("option", { value: name }, name)));
  return h("div.inline", null, h("label", { htmlFor: "rival" }, "Compare with"), select,
    h("button", { type: "button", onclick: () => { location.hash = fragment({ compare: own, with: select.value, task }); } }, "Compare"));
}
