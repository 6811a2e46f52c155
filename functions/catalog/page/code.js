import { fresh, h } from "./dom.js";
import { curl, hub, openai } from "./snippets.js";

const LANGUAGES = [["curl", curl], ["huggingface_hub", hub], ["openai", openai]];

/** The call as code, in tabs; `show(call)` writes it anew. */
export function code() {
  const pre = h("code");
  const panel = h("div.code", { role: "tabpanel", id: fresh("panel") }, h("pre", { tabIndex: 0 }, pre));
  const tabs = LANGUAGES.map(([name, write]) => h("button", { type: "button", role: "tab", id: fresh("tab"), "aria-controls": panel.id, onclick: () => choose(name) }, name));
  const copy = h("button.quiet", { type: "button", onclick: copied }, "Copy");
  const list = h("div.tabs", { role: "tablist", "aria-label": "The call in", onkeydown: arrows }, tabs);
  let chosen = LANGUAGES[0][0];
  let last = null;

  function choose(name) {
    chosen = name;
    show(last);
  }

  function show(call) {
    last = call;
    const written = LANGUAGES.map(([, write]) => write(call));
    let index = LANGUAGES.findIndex(([name]) => name === chosen);
    if (written[index] === null) index = 0;
    tabs.forEach((tab, number) => {
      tab.hidden = written[number] === null;
      tab.setAttribute("aria-selected", String(number === index));
      tab.tabIndex = number === index ? 0 : -1;
    });
    panel.setAttribute("aria-labelledby", tabs[index].id);
    pre.textContent = written[index];
    copy.textContent = "Copy";
  }

  function arrows(event) {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    event.preventDefault();
    const visible = tabs.filter((tab) => !tab.hidden);
    const next = visible[(visible.indexOf(document.activeElement) + step + visible.length) % visible.length];
    next.click();
    next.focus();
  }

  async function copied() {
    try {
      await navigator.clipboard.writeText(pre.textContent);
      copy.textContent = "Copied";
    } catch {
      getSelection().selectAllChildren(pre); // where the clipboard is closed, one key is left to press
      copy.textContent = "Selected";
    }
  }

  return { node: h("section.panel.calls", { "aria-labelledby": "calls" }, h("div.bar-of-code", null, h("h2", { id: "calls" }, "The same call"), list, copy), panel), show };
}
