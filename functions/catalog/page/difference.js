import { h, percent } from "./dom.js";

const MAX_WORDS = 600;

/** What differs between two outputs: scores side by side, words that only one text has, or whether they are the same. */
export function difference([first, second], names) {
  const scores = [first, second].map(labelScores);
  if (scores.every(Boolean)) return scoreTable(scores, names);
  const texts = [first, second].map(textOf);
  if (texts.every((text) => text !== null)) return texts[0] === texts[1] ? note("The same text.") : textDifference(texts, names);
  const same = JSON.stringify(first) === JSON.stringify(second);
  return note(same ? "The same output." : lengths(first, second, names));
}

const note = (text) => h("p.panel", null, text);

const lengths = (first, second, names) => (Array.isArray(first) && Array.isArray(second)
  ? `Different outputs: ${names[0]} has ${first.length} items, ${names[1]} has ${second.length}.`
  : "Different outputs.");

/** Scores by label, the best of each label; null if the output is no list of labels without boxes. */
function labelScores(output) {
  const list = Array.isArray(output) ? output.flat() : [];
  if (!list.length || !list.every((item) => !item?.box && typeof item?.label === "string" && typeof item.score === "number")) return null;
  const scores = new Map();
  for (const { label, score } of list) scores.set(label, Math.max(score, scores.get(label) ?? 0));
  return scores;
}

function scoreTable([first, second], names) {
  const labels = [...new Set([...first.keys(), ...second.keys()])].slice(0, 20);
  const best = (scores) => [...scores].reduce((a, b) => (b[1] > a[1] ? b : a))[0];
  const agree = best(first) === best(second);
  const cell = (score) => h("td.number", null, score === undefined ? "–" : percent(score));
  return h("section.panel", { "aria-label": "Differences" },
    h(agree ? "p.verdict.small" : "p.verdict.small.differs", null, agree ? `Both say ${best(first)}.` : `They differ: ${best(first)} and ${best(second)}.`),
    h("div.scroll", { tabIndex: 0, role: "region", "aria-label": "Scores of both" }, h("table.list", null,
      h("thead", null, h("tr", null, ["label", ...names, "difference"].map((name, index) => h(index ? "th.number" : "th", { scope: "col" }, name)))),
      h("tbody", null, labels.map((label) => {
        const change = (second.get(label) ?? 0) - (first.get(label) ?? 0);
        return h(Math.abs(change) >= 0.1 ? "tr.differs" : "tr", null, h("th", { scope: "row" }, label), cell(first.get(label)), cell(second.get(label)),
          h("td.number", null, `${change < 0 ? "−" : "+"}${(100 * Math.abs(change)).toFixed(1)}`));
      })))));
}

/** The text of an output, of any task that writes one; null for other outputs. */
export function textOf(output) {
  const [item] = Array.isArray(output) ? output : [output];
  const lines = (Array.isArray(output) ? output : [output]).map((one) => one?.translation_text ?? one?.generated_text ?? one?.summary_text ?? (typeof one?.text === "string" ? one.text : undefined));
  return item && lines.every((line) => line !== undefined) ? lines.join("\n") : null;
}

function textDifference(texts, names) {
  const words = texts.map((text) => text.split(/(\s+)/).slice(0, MAX_WORDS));
  const common = longestCommon(...words);
  return h("section.panel", { "aria-label": "Differences" }, h("p.verdict.small", null, "Different texts; words of only one are marked."),
    words.map((list, side) => h("div", null, h("h3", null, names[side]),
      h("p.reading", null, list.map((word, index) => (common[side].has(index) || !word.trim() ? word : h(side ? "mark.hue-2" : "mark.hue-1", null, word)))))));
}

/** The positions, in each list, of a longest common subsequence. */
function longestCommon(first, second) {
  const lengths = Array.from({ length: first.length + 1 }, () => new Uint16Array(second.length + 1));
  for (let i = first.length - 1; i >= 0; i--)
    for (let j = second.length - 1; j >= 0; j--)
      lengths[i][j] = first[i] === second[j] ? lengths[i + 1][j + 1] + 1 : Math.max(lengths[i + 1][j], lengths[i][j + 1]);
  const positions = [new Set(), new Set()];
  for (let i = 0, j = 0; i < first.length && j < second.length;) {
    if (first[i] === second[j]) { positions[0].add(i++); positions[1].add(j++); }
    else if (lengths[i + 1][j] >= lengths[i][j + 1]) i++;
    else j++;
  }
  return positions;
}
