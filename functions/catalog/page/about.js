import { h } from "./dom.js";
import { direction, mainMetric, metricValue, ms, size } from "./figures.js";

const PRECISIONS = { none: "fp32", "dynamic-int8": "int8", "static-int8": "int8", "int4-blocks": "4 bits" };
const LIMITS = { batch: "inputs at once", characters: "characters", pixels: "pixels", seconds: "seconds" };

/** The main facts about a model. */
export function facts({ metrics, files, quantization, licence, version }) {
  const metric = mainMetric(metrics.served, metrics.metric);
  const rows = [
    metric && [metric.name, metric.value, metric.direction],
    ["size", size(files.reduce((sum, file) => sum + file.size, 0))],
    ["precision", PRECISIONS[quantization.method], quantization.details],
    ["version", version],
    ["licence", licence],
  ];
  return h("dl.facts", null, rows.filter(Boolean).map(([name, value, tooltip]) => h("div", { title: tooltip ?? "" }, h("dt", null, name), h("dd", null, value))));
}

/** The price of Lambda in us-east-1: a gigabyte-second (x86-64), and a request. */
const GIGABYTE_SECOND = 0.0000166667;
const REQUEST = 0.0000002;
/** Memory with which a function has one processor, in gigabytes. */
const MEMORY = 1.769;

/** What a thousand warm calls with one input cost on Lambda, by the time that was measured on one processor. */
const thousandCalls = (milliseconds) => 1000 * ((milliseconds / 1000) * MEMORY * GIGABYTE_SECOND + REQUEST);

/** The other facts of a manifest: how the model was measured, its provenance and its files. `card` is a promise. */
export function about(manifest, card) {
  const { metrics, provenance, files, labels = [], limits = {}, quantization } = manifest;
  const { milliseconds } = metrics.served;
  const rows = [
    metrics.dataset && ["Measured on", metrics.dataset],
    milliseconds && ["Latency", `${ms(milliseconds)} for one input, median of one thread when the model was built`],
    milliseconds && ["Cost", `about $${thousandCalls(milliseconds).toPrecision(2)} for a thousand warm calls on Lambda: that time at ${MEMORY} GB, and the price of a request`],
    quantization.details && ["Quantization", quantization.details],
    labels.length > 0 && labels.length <= 100 && ["Labels", labels.filter((label) => label.trim()).join(", ")],
    Object.keys(limits).length > 0 && ["Limits", Object.entries(limits).map(([name, limit]) => (limit === 1 ? "one input at once" : `${limit.toLocaleString("en")} ${LIMITS[name]}`)).join(", ")],
    ["Built by", h("code", null, provenance.command)],
    metrics.reference && ["Published results", metrics.reference],
  ].filter(Boolean);
  const plots = h("div");
  const report = h("details", { hidden: true }, h("summary", null, "Report"));
  card.then((received) => {
    plots.replaceChildren(...received.plots.map((base64) => h("figure.plot", null, h("img", { src: `data:image/png;base64,${base64}`, alt: `Quality and latency of ${manifest.model}; the numbers are in the tables below` }))));
    report.hidden = !received.report;
    if (received.report) report.append(h("pre.report", { tabIndex: 0, role: "region", "aria-label": "Report" }, received.report));
  });
  return h("section.about", { "aria-labelledby": "about" },
    h("h2", { id: "about" }, "About this model"),
    h("dl.pairs", null, rows.map(([name, value]) => h("div", null, h("dt", null, name), h("dd", null, value)))),
    plots,
    h("details", null, h("summary", null, "All metrics, before and after quantization"), table(metrics)),
    report,
    provenance.data.length > 0 && h("details", null, h("summary", null, "Training data"), h("ul.plain", null, provenance.data.map(source))),
    h("details", null, h("summary", null, "Files and checksums"), h("div.scroll", { tabIndex: 0, role: "region", "aria-label": "Files" }, h("table", null,
      h("thead", null, h("tr", null, ["file", "bytes", "SHA-256"].map((header) => h("th", { scope: "col" }, header)))),
      h("tbody", null, files.map((file) => h("tr", null, h("th", { scope: "row" }, file.path), h("td.number", null, file.size.toLocaleString("en")), h("td", null, h("code", null, file.sha256)))))))),
  );
}

/** A data source: its description, then its checksum. */
function source(line) {
  const [description, checksum] = line.split(/,? SHA-256 /);
  return h("li", null, description, checksum && h("code", null, `SHA-256 ${checksum}`));
}

function table(metrics) {
  const variants = ["torch", "fp32", "served"].filter((variant) => Object.keys(metrics[variant]).length);
  return h("div.scroll", { tabIndex: 0, role: "region", "aria-label": "Metrics" }, h("table", null,
    h("thead", null, h("tr", null, ["metric", ...variants, ""].map((header) => (header ? h("th", { scope: "col" }, header) : h("td", null))))),
    h("tbody", null, Object.keys(metrics.served).map((name) => h("tr", null,
      h("th", { scope: "row" }, name),
      variants.map((variant) => h("td.number", null, name in metrics[variant] ? metricValue(name, metrics[variant][name]) : "–")),
      h("td.muted", null, direction(name)))))));
}
