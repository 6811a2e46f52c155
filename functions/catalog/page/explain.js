import { request } from "./api.js";
import { h, percent, position } from "./dom.js";
import { errorPanel } from "./trouble.js";

const TASKS = new Set(["text-classification", "image-classification", "object-detection"]);

/** A button that asks which parts of the input made the score, or null for tasks without that. */
export function explanation(call, value, output) {
  if (!output.length || !TASKS.has(call.task) || Array.isArray(call.json?.inputs)) return null;
  const target = h("div");
  const button = h("button", { type: "button", onclick: run }, "Explain");
  const status = h("span.muted", { role: "status" });
  const node = h("div.explain", null, h("div.actions", null, button, status), target);

  async function run() {
    button.disabled = true;
    status.textContent = "Scoring parts of the input…";
    try {
      const { output } = await request({ ...call, path: `models/${encodeURIComponent(call.model)}/explain` });
      target.replaceChildren(await picture(output.explanation, value, call));
      status.textContent = "";
      button.hidden = true;
    } catch (error) {
      status.textContent = "";
      target.replaceChildren(errorPanel(error, run));
    } finally {
      button.disabled = false;
    }
  }
  return node;
}

async function picture(explanation, value, call) {
  const { target, score, base_score: base, parts, runs } = explanation;
  const largest = Math.max(...parts.map((part) => Math.abs(part.value)), 1e-9);
  const shown = call.file ? await tiles(parts, value, largest) : words(parts, call.json.inputs, largest);
  return h("div", null, h("h3", null, `Why ${target}`), shown,
    h("p.hint", null, h("span.for", null, "raises"), " or ", h("span.against", null, "lowers"), ` the score of ${target}: ${percent(score)}, and ${percent(base)} without any part of the input. ${runs} parts were scored.`));
}

/** A mark of `value` in -largest…largest: its strength is a custom property, since style attributes are forbidden. */
function strength(element, value, largest) {
  element.style.setProperty("--strength", `${Math.round(80 * Math.min(1, Math.abs(value) / largest))}%`);
  element.classList.add(value >= 0 ? "for" : "against");
  return element;
}

function words(parts, text, largest) {
  const characters = [...text];
  const nodes = [];
  let end = 0;
  for (const part of [...parts].sort((a, b) => a.start - b.start)) {
    nodes.push(characters.slice(end, part.start).join(""));
    nodes.push(strength(h("span.part", { title: signed(part.value) }, characters.slice(part.start, part.end).join("")), part.value, largest));
    end = part.end;
  }
  return h("p.reading.explained", null, nodes, characters.slice(end).join(""));
}

async function tiles(parts, file, largest) {
  const image = h("img", { src: URL.createObjectURL(file), alt: "The picture with the parts that made the score" });
  await image.decode();
  const { naturalWidth: width, naturalHeight: height } = image;
  const marks = parts.map(({ box: { xmin, ymin, xmax, ymax }, value }) =>
    position(strength(h("div.tile", { title: signed(value) }), value, largest), { left: xmin / width, top: ymin / height, width: (xmax - xmin) / width, height: (ymax - ymin) / height }));
  return h("div.stage", null, image, h("div.boxes", { "aria-hidden": "true" }, marks));
}

const signed = (value) => `${value < 0 ? "−" : "+"}${Math.abs(value).toFixed(3)}`;
