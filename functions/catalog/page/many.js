import { request } from "./api.js";
import { parseCsv, writeCsv } from "./csv.js";
import { textOf } from "./difference.js";
import { h, uniqueId } from "./dom.js";
import { isLarge, pause } from "./uploads.js";

const MAX_ITEMS = 10_000;
const SHOWN = 200;
const PARALLEL = 2;
const ATTEMPTS = 5;

/**
 * A panel that runs many inputs with the settings of the page: files, or the texts of a .txt, .csv or .jsonl file.
 * `callsOf()` returns what makes a call of a text or a File. Returns null for views that take neither.
 */
export function many({ form, callsOf, summarise }) {
  const texts = form.isText && "text" in form.value();
  if (form.isText && !texts) return null;
  const picker = h("input", { type: "file", id: uniqueId("many"), multiple: !texts, accept: texts ? ".txt,.csv,.tsv,.jsonl,text/plain,text/csv" : form.accept });
  const label = texts ? "A file of texts (.txt with one per line, .csv, .jsonl)" : "Several files";
  const columns = h("select", { id: uniqueId("column") });
  const columnField = h("div.field", { hidden: true }, h("label", { htmlFor: columns.id }, "Column of the text"), columns);
  const run = h("button.primary", { type: "button", disabled: true, onclick: start }, "Run all");
  const stop = h("button", { type: "button", hidden: true, onclick: () => controller?.abort() }, "Stop");
  const status = h("p.status", { role: "status" });
  const bar = h("progress", { hidden: true, "aria-label": "Progress" });
  const results = h("div");
  let items = [];
  let rows = [];
  let controller = null;

  picker.addEventListener("change", async () => {
    const [file] = picker.files;
    results.replaceChildren();
    status.textContent = "";
    run.disabled = true;
    try {
      if (texts) {
        const read = file ? await readTexts(file) : [];
        if (file !== picker.files[0]) return; // another was chosen meanwhile
        rows = read;
        const names = rows.names ?? [];
        const width = Math.max(0, ...rows.slice(0, 100).map((row) => row.length));
        const titles = rows.names ?? Array.from({ length: width }, (_, index) => `column ${index + 1}`);
        columns.replaceChildren(...titles.map((name, index) => h("option", { value: String(index) }, name)));
        columns.value = String(Math.max(0, names.findIndex((name) => /^(text|sentence|review|content|input)$/i.test(name.trim()))));
        columnField.hidden = titles.length < 2;
      }
      choose();
    } catch (error) {
      if (file === picker.files[0]) status.textContent = error.message;
    }
  });
  columns.addEventListener("change", choose);

  function choose() {
    items = texts ? rows.map((row) => row[Number(columns.value) || 0] ?? "").filter((text) => text.trim()) : [...picker.files];
    run.disabled = !items.length || items.length > MAX_ITEMS;
    status.textContent = items.length > MAX_ITEMS ? `${items.length} inputs; at most ${MAX_ITEMS} can be run here. Use hearth batch for more.` : items.length ? `${items.length} ${texts ? "texts" : "files"}${rows.names ? `; the first line has the names ${rows.names.join(", ")}` : ""}` : "No inputs.";
  }

  async function start() {
    const { signal } = (controller = new AbortController());
    const callOf = callsOf();
    const answers = new Array(items.length).fill(null);
    const table = h("tbody");
    const started = performance.now();
    let next = 0;
    let done = 0;
    [bar.max, bar.value] = [items.length, 0];
    setBusy(true);
    results.replaceChildren(h("div.scroll.tall", { tabIndex: 0, role: "region", "aria-label": "Results" }, h("table.list", null,
      h("thead", null, h("tr", null, ["input", "result", "ms"].map((name) => h(name === "ms" ? "th.number" : "th", { scope: "col" }, name)))), table)));

    const worker = async () => {
      while (next < items.length && !signal.aborted) {
        const index = next++;
        const answer = (answers[index] = await answerOf(items[index], callOf, signal));
        if (signal.aborted) { answers[index] = null; return; }
        done++;
        bar.value = done;
        const left = (performance.now() - started) / done * (items.length - done) / 1000;
        status.textContent = `${done} of ${items.length}${left > 5 ? `, about ${Math.ceil(left)} s left` : ""}`;
        if (index < SHOWN) table.append(rowOf(answer));
      }
    };
    await Promise.all(Array.from({ length: PARALLEL }, worker));
    const finished = answers.filter(Boolean);
    const failed = finished.filter((answer) => answer.error).length;
    setBusy(false);
    status.textContent = `${signal.aborted ? "Stopped after" : "Done:"} ${finished.length} of ${items.length}${failed ? `, ${failed} failed` : ""}.`;
    if (items.length > SHOWN) results.append(h("p.hint", null, `The first ${SHOWN} are shown; the downloads have all.`));
    results.append(h("div.actions", null,
      h("button", { type: "button", onclick: () => download("results.csv", "text/csv", `\uFEFF${writeCsv([["input", "result", "ms", "error", "output"], ...finished.map((answer) => [answer.input, answer.result, answer.ms, answer.error, JSON.stringify(answer.output)])])}`) }, "Download CSV"),
      h("button", { type: "button", onclick: () => download("results.json", "application/json", JSON.stringify(finished.map(({ input, output, error }) => (error ? { input, error } : { input, output })), null, 1)) }, "Download JSON")));
  }

  /** The inputs cannot be changed while they are run. */
  function setBusy(isBusy) {
    bar.hidden = stop.hidden = !isBusy;
    run.disabled = picker.disabled = columns.disabled = isBusy;
  }

  async function answerOf(item, callOf, signal) {
    const input = texts ? item : item.name;
    for (let attempt = 1; ; attempt++) {
      const started = performance.now(); // the time of a call has no pauses before it
      try {
        const prepared = texts ? item : await form.prepare(item);
        const call = callOf(prepared);
        if (isLarge(call)) throw new Error("The file is too large for a batch; run it by itself, so that it is uploaded.");
        if (call.json?.stream) delete call.json.stream;
        const { output } = await request(call, signal);
        return { input, output, result: textOf(output) ?? summarise(output, prepared), ms: Math.round(performance.now() - started), error: "" };
      } catch (error) {
        if ((error.status === 429 || error.status === 503) && attempt < ATTEMPTS && !signal.aborted) {
          await pause((error.retryAfter || attempt) * 1000, signal).catch(() => null);
          continue;
        }
        return { input, output: null, result: "", ms: Math.round(performance.now() - started), error: error.message };
      }
    }
  }

  const rowOf = ({ input, result, error, ms }) => h("tr", null, h("td", null, input.slice(0, 160)), h("td", null, error ? h("span.bad", null, error) : result.slice(0, 200)), h("td.number", null, String(ms)));

  return {
    node: h("details.panel.many", null, h("summary", null, texts ? "Many texts at once" : "Several files at once"),
      h("div.field", null, h("label", { htmlFor: picker.id }, label), picker), columnField,
      h("p.hint", null, `Each is one call with what the form above has, ${PARALLEL} at a time.`),
      h("div.actions", null, run, stop, status), bar, results),
    dispose: () => controller?.abort(),
  };
}

/** The rows of a file of texts; `names` if its first line names columns. */
async function readTexts(file) {
  const text = (await file.text()).replace(/^\uFEFF/, "");
  if (text.includes("\u0000")) throw new Error(`${file.name} is not a text file.`);
  if (text.includes("\uFFFD")) throw new Error(`${file.name} is not in UTF-8; in Excel, save it as "CSV UTF-8".`);
  if (/\.jsonl$/i.test(file.name)) {
    return text.split("\n").flatMap((line, index) => {
      if (!line.trim()) return [];
      try {
        const value = JSON.parse(line);
        return [[String(typeof value === "string" ? value : value.text ?? value.inputs ?? "")]];
      } catch {
        throw new Error(`Line ${index + 1} of ${file.name} is not JSON.`);
      }
    });
  }
  if (!/\.(csv|tsv)$/i.test(file.name)) return text.split("\n").map((line) => [line.trim()]);
  const rows = parseCsv(text);
  if (!isHeader(rows[0] ?? [])) return rows;
  const [names, ...others] = rows;
  return Object.assign(others, { names });
}

/** Whether the first line of a table names its columns: short words, each once. */
const isHeader = (cells) => new Set(cells).size === cells.length && cells.every((cell) => cell.trim() && cell.length <= 40 && cell.trim().split(/\s+/).length <= 3 && !/[.!?]$/.test(cell.trim()));

function download(name, type, text) {
  const url = URL.createObjectURL(new Blob([text], { type }));
  h("a", { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}
