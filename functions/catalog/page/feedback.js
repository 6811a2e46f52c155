import { request } from "./api.js";
import { h, uniqueId } from "./dom.js";

const TASKS = new Set(["text-classification", "image-classification"]);
const MAX_LABELS = 1000;

/** Asks whether the best label is right, and sends the correct one; null for tasks without one label. */
export function feedback(call, { output, id, answered }, labels = []) {
  const [best] = [output].flat(2);
  if (!TASKS.has(call.task) || !id || labels.length < 2 || labels.length > MAX_LABELS || typeof best?.label !== "string") return null;
  const status = h("span.muted", { role: "status" });
  const select = h("select", { id: uniqueId("right-label") }, labels.filter((label) => label !== best.label).map((label) => h("option", { value: label }, label)));
  const correction = h("span.correction", { hidden: true }, h("label", { htmlFor: select.id }, "It is "), select, h("button", { type: "button", onclick: () => give(select.value) }, "Send"));
  const yes = h("button.quiet", { type: "button", onclick: () => give(best.label) }, "Yes");
  const no = h("button.quiet", { type: "button", onclick: () => { correction.hidden = false; select.focus(); } }, "No");
  const question = h("span", null, "Is this right? ", yes, no);
  const node = h("div.feedback", { role: "group", "aria-label": "Feedback" }, question, correction, status);

  async function give(label) {
    try {
      await request({ path: `models/${encodeURIComponent(answered || call.model)}/feedback`, json: { request_id: id, label, prediction: best.label } });
      status.textContent = "Thank you; the service has your feedback.";
      question.hidden = correction.hidden = true;
    } catch (error) {
      status.textContent = error.message;
    }
  }
  return node;
}
