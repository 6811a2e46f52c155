import { fresh, h, labelled } from "./dom.js";

/**
 * Settings as fields: {name, label, kind: "number" | "check" | "select" | "text", value, hint, …}. What is left empty is
 * not sent, so that the model's own settings count.
 */
export function controls(specs) {
  const fields = specs.map((spec) => ({ ...spec, control: make(spec) }));
  const node = fields.length > 0 && h("details.settings", null, h("summary", null, "Settings"),
    h("div.grid", null, fields.map(({ label, hint, kind, control }) =>
      kind === "check"
        ? h("div.field.check", null, control, h("label", { htmlFor: (control.id = fresh("field")) }, label), hint && h("p.hint", null, hint))
        : labelled(label, control, hint))));
  return {
    node,
    values: () => Object.fromEntries(fields.map((field) => [field.name, read(field)]).filter(([, value]) => value !== null)),
  };
}

function make({ kind, value, options, min, max, step, placeholder }) {
  if (kind === "check") return h("input", { type: "checkbox", checked: Boolean(value) });
  if (kind === "select") return h("select", null, options.map(([each, words]) => h("option", { value: each, selected: each === value }, words)));
  if (kind === "text") return h("input", { type: "text", value: value ?? "", placeholder: placeholder ?? "" });
  return h("input", { type: "number", inputMode: "decimal", min, max, step: step ?? 1, value: value ?? "", placeholder: placeholder ?? "the model’s own" });
}

function read({ kind, control, as }) {
  if (kind === "check") return control.checked ? (as ?? true) : null;
  if (control.value === "") return null;
  if (kind === "number") return Number(control.value);
  return control.value;
}
