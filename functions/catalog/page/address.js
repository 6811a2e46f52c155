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

/** Whether a link can have an input. */
export const fits = (input, limit = MAX_INPUT) => JSON.stringify(input ?? null).length <= limit;

/** The fragment of an address. Inputs of more than `limit` characters, and empty settings, are left out. */
export function fragment({ input, settings, ...names }, limit = MAX_INPUT) {
  const parameters = new URLSearchParams(Object.entries(names).filter(([, value]) => value));
  if (input && fits(input, limit)) parameters.set("input", JSON.stringify(input));
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
