import { h, uniqueId } from "./dom.js";
import { javascript, requests, triton, uploading } from "./clients.js";
import { curl, hub, openai } from "./snippets.js";
import { isLarge } from "./uploads.js";

const LANGUAGES = [["curl", curl], ["requests", requests], ["fetch", javascript], ["huggingface_hub", hub], ["openai", openai], ["tritonclient", triton]];

/** The call as code, in tabs; `render(call)` updates it. */
export function code() {
  const text = h("code");
  const panel = h("div.code", { role: "tabpanel", id: uniqueId("panel") }, h("pre", { tabIndex: 0 }, text));
  const tabs = LANGUAGES.map(([name, write]) => h("button", { type: "button", role: "tab", id: uniqueId("tab"), "aria-controls": panel.id, onclick: () => choose(name) }, name));
  const copy = h("button.quiet", { type: "button", onclick: copyCode }, "Copy");
  const list = h("div.tabs", { role: "tablist", "aria-label": "Clients", onkeydown: moveFocus }, tabs);
  let chosen = LANGUAGES[0][0];
  let lastCall = null;

  function choose(name) {
    chosen = name;
    if (lastCall) render(lastCall);
  }

  function render(call) {
    lastCall = call;
    const snippets = LANGUAGES.map(([name, write]) => (isLarge(call) ? (name === "requests" ? uploading(call) : null) : write(call)));
    let index = LANGUAGES.findIndex(([name]) => name === chosen);
    if (snippets[index] === null) index = snippets.findIndex((snippet) => snippet !== null);
    tabs.forEach((tab, tabIndex) => {
      tab.hidden = snippets[tabIndex] === null;
      tab.setAttribute("aria-selected", String(tabIndex === index));
      tab.tabIndex = tabIndex === index ? 0 : -1;
    });
    panel.setAttribute("aria-labelledby", tabs[index].id);
    text.textContent = snippets[index];
    copy.textContent = "Copy";
  }

  function moveFocus(event) {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    event.preventDefault();
    const visible = tabs.filter((tab) => !tab.hidden);
    const next = visible[(visible.indexOf(document.activeElement) + step + visible.length) % visible.length];
    next.click();
    next.focus();
  }

  async function copyCode() {
    try {
      await navigator.clipboard.writeText(text.textContent);
      copy.textContent = "Copied";
    } catch {
      getSelection().selectAllChildren(text); // without access to the clipboard, the user presses Ctrl+C
      copy.textContent = "Selected";
    }
  }

  return { node: h("section.panel.calls", { "aria-labelledby": "calls" }, h("div.bar-of-code", null, h("h2", { id: "calls" }, "The same call as code"), list, copy), panel), render };
}
