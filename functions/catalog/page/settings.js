import { h, labelledField, uniqueId } from "./dom.js";

/**
 * Form fields for settings: {name, label, kind: "number" | "check" | "select" | "text", value, hint, …}. Empty fields are
 * not sent, so that the defaults of the model apply.
 */
export function controls(specs) {
  const fields = specs.map((spec) => ({ ...spec, control: createControl(spec) }));
  for (const field of fields) field.initial = entry(field);
  const node = fields.length > 0 && h("details.settings", null, h("summary", null, "Settings"),
    h("div.grid", null, fields.map(({ label, hint, kind, control }) =>
      kind === "check"
        ? h("div.field.check", null, control, h("label", { htmlFor: (control.id = uniqueId("field")) }, label), hint && h("p.hint", null, hint))
        : labelledField(label, control, hint))));
  if (node) node.addEventListener("invalid", () => (node.open = true), true); // a browser cannot point at a folded field
  return {
    node,
    /** The settings as they were entered, for `fill`. */
    entered: () => Object.fromEntries(fields.filter((field) => entry(field) !== field.initial).map((field) => [field.name, entry(field)])),
    fill: (values) => {
      for (const field of fields.filter(({ name }) => name in values)) {
        if (field.kind === "check") field.control.checked = Boolean(values[field.name]);
        else field.control.value = String(values[field.name]);
      }
    },
    values: () => Object.fromEntries(fields.map((field) => [field.name, read(field)]).filter(([, value]) => value !== null)),
  };
}

const entry = ({ kind, control }) => (kind === "check" ? control.checked : control.value);

function createControl({ kind, value, options, min, max, step, placeholder }) {
  if (kind === "check") return h("input", { type: "checkbox", checked: Boolean(value) });
  if (kind === "select") return h("select", null, options.map(([option, text]) => h("option", { value: option, selected: option === value }, text)));
  if (kind === "text") return h("input", { type: "text", value: value ?? "", placeholder: placeholder ?? "" });
  return h("input", { type: "number", inputMode: "decimal", min, max, step: step ?? 1, value: value ?? "", placeholder: placeholder ?? "model default" });
}

function read({ kind, control, as }) {
  if (kind === "check") return control.checked ? (as ?? true) : null;
  if (control.value === "") return null;
  if (kind === "number") return Number(control.value);
  return control.value;
}
