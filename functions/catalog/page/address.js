import { base } from "./api.js";

const MAX_INPUT = 2000;

/**
 * What an address names: {model, task, input, settings}, {compare, with, task, input, settings} or {page: "history"}.
 * Inputs and settings are JSON; a part that cannot be read is ignored.
 */
export function parse(hash) {
  const parameters = new URLSearchParams(hash.replace(/^#/, ""));
  const state = Object.fromEntries(["model", "task", "compare", "with", "page"].map((name) => [name, parameters.get(name) ?? ""]));
  return { ...state, input: object(parameters.get("input")), settings: object(parameters.get("settings")) };
}

/** The fragment of an address. Inputs that are too long for a link, and empty settings, are left out. */
export function fragment({ input, settings, ...names }) {
  const parameters = new URLSearchParams(Object.entries(names).filter(([, value]) => value));
  const text = input ? JSON.stringify(input) : "";
  if (text && text.length <= MAX_INPUT) parameters.set("input", text);
  if (settings && Object.keys(settings).length) parameters.set("settings", JSON.stringify(settings));
  return `#${parameters}`;
}

export const link = (state) => new URL(fragment(state), base).href;

function object(text) {
  try {
    const value = JSON.parse(text ?? "null");
    return value && typeof value === "object" && !Array.isArray(value) ? value : null;
  } catch {
    return null;
  }
}
