import { key } from "./api.js";
import { h } from "./dom.js";

/** What went wrong in the service's own words, and what to do about it. `again` is offered where asking again may help. */
export function trouble(refusal, again) {
  const { status = 0, type = "", id = "", retryAfter = 0 } = refusal;
  const wantsKey = status === 401 || (status === 403 && !type);
  return h("div.trouble", { role: "alert" },
    h("p.what", null, wantsKey ? (key.get() ? "This service does not know that API key." : "This service wants an API key.") : refusal.message),
    h("p.do", null, advice(status, wantsKey, retryAfter)),
    h("div.actions", null,
      wantsKey && h("button", { type: "button", onclick: () => document.getElementById("key").click() }, "Enter the key"),
      again && (status === 0 || status >= 429) && h("button", { type: "button", onclick: again }, "Try again"),
      status === 404 && h("a", { href: "#" }, "All models")),
    id && h("p.id", null, status ? `${status} · ` : "", "request ", h("code", null, id)),
  );
}

function advice(status, wantsKey, retryAfter) {
  if (wantsKey) return "Whoever runs the service hands them out. It stays in this tab.";
  if (status === 0) return "Check that it still runs and that this machine is online, then try again.";
  if (status === 403) return "The models that this key may ask for are on the first page; for others, ask whoever gave you the key.";
  if (status === 404) return "It may have been taken away, or the address has a mistake.";
  if (status === 413) return "Send something smaller, or less at once.";
  if (status === 415) return "Choose a file of another kind.";
  if (status === 429) return `Too many at once. Wait ${retryAfter || "a few"} seconds.`;
  if (status === 503 || status === 504 || status === 502) return `Wait ${retryAfter || "a few"} seconds, then try again.`;
  if (status >= 500) return "That is the service's fault, not yours. Its log has the cause under the id below.";
  return "Change the input or the settings above, then run it again.";
}
