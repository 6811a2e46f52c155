import { h } from "./dom.js";
import { better, main, metric, size } from "./figures.js";

const PRECISIONS = { none: "fp32", "dynamic-int8": "int8", "static-int8": "int8", "int4-blocks": "4 bits" };
const LIMITS = { batch: "inputs at once", characters: "characters", pixels: "pixels", seconds: "seconds" };

/** A model in figures. */
export function facts({ metrics, files, quantization, licence, version }) {
  const figure = main(metrics.served, metrics.metric);
  const rows = [
    figure && [figure.name, figure.value, figure.better],
    ["size", size(files.reduce((sum, file) => sum + file.size, 0))],
    ["precision", PRECISIONS[quantization.method], quantization.details],
    ["version", version],
    ["licence", licence],
  ];
  return h("dl.facts", null, rows.filter(Boolean).map(([name, value, more]) => h("div", { title: more ?? "" }, h("dt", null, name), h("dd", null, value))));
}

/** What else a manifest says of its model: how it was measured, where it comes from, its files. */
export function about(manifest) {
  const { metrics, provenance, files, labels = [], limits = {} } = manifest;
  const rows = [
    metrics.dataset && ["Measured on", metrics.dataset],
    labels.length > 0 && labels.length <= 100 && ["Labels", labels.filter((label) => label.trim()).join(", ")],
    Object.keys(limits).length > 0 && ["Limits", Object.entries(limits).map(([name, most]) => (most === 1 ? "one input at once" : `${most.toLocaleString("en")} ${LIMITS[name]}`)).join(", ")],
    ["Made by", h("code", null, provenance.command)],
    metrics.reference && ["To compare", metrics.reference],
  ].filter(Boolean);
  return h("section.about", { "aria-labelledby": "about" },
    h("h2", { id: "about" }, "About this model"),
    h("dl.pairs", null, rows.map(([name, value]) => h("div", null, h("dt", null, name), h("dd", null, value)))),
    h("details", null, h("summary", null, "All figures"), table(metrics)),
    provenance.data.length > 0 && h("details", null, h("summary", null, "What it learnt from"), h("ul.plain", null, provenance.data.map(source))),
    h("details", null, h("summary", null, "Files and checksums"), h("div.scroll", { tabIndex: 0, role: "region", "aria-label": "Files" }, h("table", null,
      h("thead", null, h("tr", null, ["file", "bytes", "SHA-256"].map((word) => h("th", { scope: "col" }, word)))),
      h("tbody", null, files.map((file) => h("tr", null, h("th", { scope: "row" }, file.path), h("td.number", null, file.size.toLocaleString("en")), h("td", null, h("code", null, file.sha256)))))))),
  );
}

/** A sentence about data; its checksum is for machines. */
function source(line) {
  const [words, sum] = line.split(/,? SHA-256 /);
  return h("li", null, words, sum && h("code", null, `SHA-256 ${sum}`));
}

function table(metrics) {
  const forms = ["torch", "fp32", "served"].filter((form) => Object.keys(metrics[form]).length);
  return h("div.scroll", { tabIndex: 0, role: "region", "aria-label": "Figures" }, h("table", null,
    h("thead", null, h("tr", null, ["metric", ...forms, ""].map((word) => (word ? h("th", { scope: "col" }, word) : h("td", null))))),
    h("tbody", null, Object.keys(metrics.served).map((name) => h("tr", null,
      h("th", { scope: "row" }, name),
      forms.map((form) => h("td.number", null, name in metrics[form] ? metric(name, metrics[form][name]) : "–")),
      h("td.muted", null, better(name)))))));
}
