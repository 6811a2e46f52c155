import { ServiceError, request } from "./api.js";
import { csvLines } from "./csv.js";
import { h, percent, position, show } from "./dom.js";
import { decodeAudio, waveform } from "./sound.js";
import { errorPanel } from "./trouble.js";
import { isLarge } from "./uploads.js";

/** Tasks with explanations, as the task table has them. */
export const TASKS = new Set([
  "text-classification", "zero-shot-classification", "token-classification", "fill-mask", "question-answering",
  "sentence-similarity", "text-ranking", "translation", "summarization", "text2text-generation", "image-classification",
  "object-detection", "zero-shot-image-classification", "automatic-speech-recognition", "tabular-classification",
  "tabular-regression",
]);

/**
 * A button that asks the version that answered which parts of the input made the score; null for tasks and answers without
 * that, and for files that do not fit into a request.
 */
export function explanation(call, value, { output, answered }) {
  if (!TASKS.has(call.task) || output.length === 0 || Array.isArray(call.json?.inputs) || isLarge(call)) return null;
  const path = answered ? call.path.replace(/[^/]+$/, encodeURIComponent(answered)) : call.path;
  const target = h("div");
  const row = call.task.startsWith("tabular") && output.length > 1
    ? h("select", { "aria-label": "Row to explain", onchange: () => target.replaceChildren() }, output.map((_, index) => h("option", { value: String(index) }, `Row ${index + 1}`)))
    : null;
  const button = h("button", { type: "button", onclick: run }, "Explain");
  const status = h("span.muted", { role: "status" });
  const node = h("div.explain", null, h("div.actions", null, button, row, status), target);

  async function run() {
    button.disabled = true;
    if (row) row.disabled = true;
    status.textContent = "Scoring parts of the input…";
    const explained = { ...withExplanation(row ? oneRow(call, Number(row.value)) : call), path };
    try {
      const { output } = await request(explained);
      show(target, await panel(output.explanation, value, explained));
      status.textContent = "";
      button.hidden = !row;
    } catch (error) {
      status.textContent = "";
      target.replaceChildren(errorPanel(error, run));
    } finally {
      button.disabled = false;
      if (row) row.disabled = false;
    }
  }
  return node;
}

const withExplanation = (call) => (call.file
  ? { ...call, query: { ...call.query, explain: true } }
  : { ...call, json: { ...call.json, parameters: { ...call.json.parameters, explain: true } } });

/** The call with one row of its CSV table. */
function oneRow(call, index) {
  const [names, ...rows] = csvLines(call.json.inputs).map(({ source }) => source);
  return { ...call, json: { ...call.json, inputs: `${names}\n${rows[index]}` } };
}

async function panel(explanation, value, call) {
  const { target, measure, score, base_score: base, parts, outputs = [], runs } = explanation;
  const view = await VIEWS[parts[0].type](explanation, value, call);
  view.mark(parts.map((part) => part.value));
  const format = measure === "score" ? percent : (number) => number.toFixed(3).replace("-", "−");
  const chosen = parts.some(({ field }) => field === "texts" || field === "sentences") ? "this text" : measure === "prediction" ? "this number" : target;
  const name = outputs.length ? "these words" : chosen;
  return h("div", null, h("h3", null, `Why ${name}`),
    outputs.length > 0 && choice(outputs, view, parts), view.node,
    h("p.hint", null, h("span.for", null, "raises"), " or ", h("span.against", null, "lowers"), ` the ${measure} of ${name}: ${format(score)}, and ${format(base)} without any part of the input. ${runs} parts were scored.`));
}

/** Buttons for the words of a written answer; the parts of the input show what they add to the chosen word. */
function choice(outputs, view, parts) {
  const choices = [{ text: "All words", values: parts.map((part) => part.value) }, ...outputs];
  const buttons = choices.map(({ text, values }) => h("button.word", { type: "button", "aria-pressed": "false", onclick: ({ currentTarget }) => {
    for (const button of buttons) button.setAttribute("aria-pressed", String(button === currentTarget));
    view.mark(values);
  } }, text));
  buttons[0].setAttribute("aria-pressed", "true");
  return h("div.words", { role: "group", "aria-label": "Written words; choose one to see what it is due to" }, buttons);
}

/** Marks an element by `value` in -largest…largest: its strength is a custom property, since style attributes are forbidden. */
function strength(element, value, largest) {
  element.style.setProperty("--strength", `${Math.round(80 * Math.min(1, Math.abs(value) / largest))}%`);
  element.classList.toggle("for", value >= 0);
  element.classList.toggle("against", value < 0);
  element.title = signed(value);
}

/** A view of parts as elements that can be marked with values. */
function view(node, elements, mark = strength) {
  return {
    node,
    mark: (values) => {
      const largest = Math.max(...values.map(Math.abs), 1e-9);
      elements.forEach((element, index) => mark(element, values[index], largest));
    },
  };
}

function words({ parts, target }, value, call) {
  const elements = parts.map(() => h("span.part"));
  const texts = [...new Set(parts.map((part) => part.field ?? ""))].map((field) => {
    const characters = [...textOf(call.json.inputs, field, target)];
    const nodes = [];
    let end = 0;
    parts.forEach((part, index) => {
      if ((part.field ?? "") !== field) return;
      nodes.push(characters.slice(end, part.start).join(""), elements[index]);
      elements[index].textContent = characters.slice(part.start, part.end).join("");
      end = part.end;
    });
    return h("p.reading.explained", null, nodes, characters.slice(end).join(""));
  });
  return view(h("div", null, texts), elements);
}

/** The text of a field of the inputs; where it has several, the one with the number `target`. */
function textOf(inputs, field, target) {
  const value = field ? inputs[field] : inputs;
  return Array.isArray(value) ? value[Number(target)] : value;
}

async function tiles({ parts }, file) {
  const image = h("img", { src: URL.createObjectURL(file), alt: "The picture with the parts that made the score" });
  await image.decode().catch(() => { throw new ServiceError("This browser cannot show the picture.", { status: 415 }); });
  const { naturalWidth: width, naturalHeight: height } = image;
  const elements = parts.map(({ box: { xmin, ymin, xmax, ymax } }) =>
    position(h("div.tile"), { left: xmin / width, top: ymin / height, width: (xmax - xmin) / width, height: (ymax - ymin) / height }));
  return view(h("div.stage", null, image, h("div.boxes", { "aria-hidden": "true" }, elements)), elements);
}

async function segments({ parts }, file) {
  const { samples, seconds } = await decodeAudio(file);
  const elements = parts.map(({ start, end }) => position(h("div.segment"), { left: start / seconds, width: (end - start) / seconds }));
  return view(h("div.wave", { role: "img", "aria-label": "The waveform with the seconds that made the words" }, waveform(samples), elements), elements);
}

function columns({ parts }) {
  const order = parts.map((_, index) => index).sort((a, b) => Math.abs(parts[b].value) - Math.abs(parts[a].value));
  const elements = parts.map(({ column, content }) =>
    h("li", null, h("span.name", null, `${column} = ${content ?? "missing"}`), h("span.score"), h("span.bar", { "aria-hidden": "true" }, h("span"))));
  return view(h("ol.bars.causes", null, order.map((index) => elements[index])), elements, (element, number, largest) => {
    strength(element, number, largest);
    element.querySelector(".score").textContent = signed(number);
    element.querySelector(".bar span").style.width = `${(100 * Math.abs(number)) / largest}%`;
  });
}

const VIEWS = { word: words, tile: tiles, segment: segments, column: columns };

const signed = (value) => `${value < 0 ? "−" : "+"}${Math.abs(value).toFixed(3)}`;
