import { key } from "./api.js";
import { h } from "./dom.js";

/** The message of an error and advice. A button calls `retry` if trying again may help. */
export function errorPanel(error, retry) {
  const { status, type = "", id = "", retryAfter = 0 } = error; // errors of the page itself have no status
  const needsKey = status === 401 || (status === 403 && !type);
  return h("div.trouble", { role: "alert" },
    h("p.what", null, needsKey ? (key.get() ? "This API key is not valid." : "This service requires an API key.") : error.message),
    status !== undefined && h("p.do", null, advice(status, needsKey, retryAfter)),
    h("div.actions", null,
      needsKey && h("button", { type: "button", onclick: () => document.getElementById("key").click() }, "Enter API key"),
      retry && (!status || status >= 429) && h("button", { type: "button", onclick: retry }, "Try again"),
      status === 404 && h("a", { href: "#" }, "All models")),
    id && h("p.id", null, status ? `${status} · ` : "", "request ", h("code", null, id)),
  );
}

function advice(status, needsKey, retryAfter) {
  if (needsKey) return "Ask the operator of the service for a key. It is stored only in this tab.";
  if (status === 0) return "Check that the service is running and that this computer is online, then try again.";
  if (status === 403) return "The start page lists the models that this key can use; for others, ask the operator of the service.";
  if (status === 404) return "It may have been removed, or the address is wrong.";
  if (status === 413) return "Send a smaller input, or fewer inputs at once.";
  if (status === 415) return "Choose a file of another type.";
  if (status === 429) return `Too many requests. Wait ${retryAfter || "a few"} seconds, then try again.`;
  if (status === 503 || status === 504 || status === 502) return `Wait ${retryAfter || "a few"} seconds, then try again.`;
  if (status >= 500) return "The service failed. Its log has the cause under the request id below.";
  return "Change the input or the settings above, then run it again.";
}
