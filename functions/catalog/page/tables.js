import { ServiceError } from "./api.js";
import { parseCsv } from "./csv.js";
import { h } from "./dom.js";
import { texts } from "./inputs.js";

const columns = (model) => (model.preprocessing?.columns ?? []).map(({ name }) => name);

export const tabular = {
  verb: "Predict",
  form: (model) => texts([{ name: "table", label: "Table", rows: 6, hint: `CSV with a line of names: ${columns(model).join(",")}` }]),
  call: ({ table }) => ({ json: { inputs: table } }),
  render: (predictions, { table }) => {
    const [names, ...rows] = parseCsv(table);
    return h("div.scroll", { tabIndex: 0, role: "region", "aria-label": "Predictions" }, h("table.list", null,
      h("thead", null, h("tr", null, [...names, "prediction"].map((name) => h("th", { scope: "col" }, name)))),
      h("tbody", null, predictions.map((prediction, index) => h("tr", null, (rows[index] ?? []).map((value) => h("td", null, value)), h("td", null, String(prediction)))))));
  },
  summarise: (predictions) => predictions.slice(0, 5).join(", "),
};

export const tensors = {
  verb: "Run the graph",
  form: (model) => texts([{ name: "inputs", label: "Inputs", rows: 8, hint: `JSON with ${signature(model)}, nested as the shapes.` }]),
  call: ({ inputs }) => ({ json: { inputs: parsed(inputs) } }),
  render: (outputs) => h("pre.reading", { tabIndex: 0 }, JSON.stringify(outputs, null, 1).slice(0, 10_000)),
  summarise: (outputs) => Object.keys(outputs).join(", "),
};

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new ServiceError(`The inputs are not JSON: ${error.message}.`, { status: 400 });
  }
}

/** The inputs of the graph with their shapes, such as "x [n, 3]". */
const signature = (model) => (model.graphs?.main?.inputs ?? []).map(({ name, shape }) => `${name} [${shape.join(", ")}]`).join(", ");
