import { h } from "./dom.js";
import { better, main, metric, size } from "./figures.js";
import { title } from "./tasks.js";

/** What a manifest says of its model: figures, where it comes from, its files. */
export function about(manifest) {
  const { metrics, provenance, quantization, licence, version, files, labels = [], limits = {} } = manifest;
  const bytes = files.reduce((sum, file) => sum + file.size, 0);
  const figure = main(metrics.served, metrics.metric);
  const rows = [
    ["Task", title(manifest.task)],
    figure && ["Quality", `${figure.name} ${figure.value}, ${metrics.dataset}`],
    ["Size", `${size(bytes)} in ${files.length} files`],
    ["Precision", { none: "fp32", "dynamic-int8": "int8, dynamic", "static-int8": "int8, static", "int4-blocks": "4 bits in blocks" }[quantization.method]],
    ["Licence", licence],
    ["Version", version],
    labels.length > 0 && labels.length <= 100 && ["Labels", labels.filter((label) => label.trim()).join(", ")],
    Object.keys(limits).length > 0 && ["Limits", Object.entries(limits).map(([name, most]) => `${most.toLocaleString("en")} ${name === "batch" ? "inputs at once" : name}`).join(", ")],
    provenance.data.length > 0 && ["Learnt from", h("ul.plain", null, provenance.data.map((line) => h("li", null, line)))],
    ["Made by", h("code", null, provenance.command)],
    metrics.reference && ["To compare", metrics.reference],
  ].filter(Boolean);
  return h("section.about", { "aria-labelledby": "about" },
    h("h2", { id: "about" }, "About this model"),
    h("dl.pairs", null, rows.map(([name, value]) => h("div", null, h("dt", null, name), h("dd", null, value)))),
    h("details", null, h("summary", null, "All figures"), table(metrics)),
    h("details", null, h("summary", null, "Files and checksums"), h("div.scroll", { tabIndex: 0, role: "region", "aria-label": "Files" }, h("table", null,
      h("thead", null, h("tr", null, ["file", "bytes", "SHA-256"].map((word) => h("th", { scope: "col" }, word)))),
      h("tbody", null, files.map((file) => h("tr", null, h("th", { scope: "row" }, file.path), h("td.number", null, file.size.toLocaleString("en")), h("td", null, h("code", null, file.sha256)))))))),
  );
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
