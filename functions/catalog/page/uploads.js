import { ServiceError, base, errorFrom, request } from "./api.js";
import { h, show } from "./dom.js";
import { size } from "./figures.js";
import { files, local } from "./saved.js";

/** Larger files do not fit into a request: Lambda takes 6 MB, which are 4.5 MB in base64 (HEARTH_MAX_BODY_MB). */
const MAX_BODY = 4_400_000;
const MAX_UPLOAD = 64 * 1024 * 1024;
const JOBS = "hearth-uploads";

/** The reason with which a page is left: the upload then continues at the next visit. */
export const LEFT = new DOMException("The page was left.", "AbortError");

export const isLarge = (call) => Boolean(call.file) && call.file.size > MAX_BODY;

const all = () => local.get(JOBS) ?? {};
const keyOf = ({ model, task }) => `${model} ${task}`;

const jobs = {
  get: (call) => all()[keyOf(call)] ?? null,
  set: (call, job) => local.set(JOBS, { ...all(), [keyOf(call)]: job }),
  /** Deletes a job, unless another has taken its place, and its file. */
  delete: (call, job) => {
    const { [keyOf(call)]: stored, ...others } = all();
    if (stored?.number === job.number) local.set(JOBS, others);
    return files.delete(job.number);
  },
};

/** The job of each file that this page has begun to upload or found: {number, settings, id once it is uploaded}. */
const jobOf = new WeakMap();

/** An upload that a former visit to this page left: {file, settings}, or null. */
export async function unfinished(model, task) {
  const call = { model, task };
  const job = jobs.get(call);
  const stored = job && (await files.get(job.number));
  if (job && !stored) await jobs.delete(call, job);
  if (!stored) return null;
  // A copy: Firefox cannot read a stored file any more once it is deleted, which it is before its result is shown.
  const file = new File([await stored.arrayBuffer()], stored.name, { type: stored.type });
  jobOf.set(file, job);
  return { file, settings: job.settings };
}

/**
 * Sends a file that does not fit into a request, waits for its result and returns it as `request` does. Shows the
 * progress in `target`. If the same file with the same settings was sent before, this continues. If `signal` aborts, the
 * upload is deleted, unless the page was just left; where the server does not respond, it is kept.
 */
export async function upload(call, signal, target) {
  const settings = call.query ?? {};
  const maximum = Object.keys(settings).length ? 0.75 * MAX_UPLOAD : MAX_UPLOAD; // in base64, three bytes are four
  if (call.file.size > maximum) throw new ServiceError(`The file has ${size(call.file.size)}; at most ${size(maximum)} can be uploaded.`, { status: 413 });
  const view = progress(target, call.file);
  const started = performance.now();
  let job = jobOf.get(call.file);
  const keep = (changed) => {
    job = changed;
    jobOf.set(call.file, job);
    jobs.set(call, job);
  };
  try {
    if (!job?.id || JSON.stringify(job.settings) !== JSON.stringify(settings)) {
      const former = jobs.get(call);
      if (former) await jobs.delete(call, former);
      job = { number: crypto.getRandomValues(new Uint32Array(1))[0], settings };
      await files.set(job.number, call.file);
      keep(job);
      keep({ ...job, id: await send(call, signal, view) });
    }
    const output = await (call.model.includes("@") ? byReference(call, job.id, signal, view) : result(job.id, signal, view));
    await forget(call, job);
    return { output, timing: { cold: false, steps: [], total: null }, id: "", elapsed: performance.now() - started };
  } catch (error) {
    // A browser that reloads the page ends its requests first, with errors of several kinds, but none has a status.
    const isKept = signal.aborted ? signal.reason === LEFT : !error.status;
    if (!isKept) await forget(call, job);
    throw error;
  }
}

async function forget(call, job) {
  jobOf.delete(call.file);
  await jobs.delete(call, job);
  if (job.id) await request({ path: `results/${job.id}`, method: "DELETE" }).catch(() => null); // it expires anyway
}

async function send(call, signal, view) {
  const body = await bodyOf(call);
  const [model] = call.model.split("@");
  const { output: ticket } = await request({ path: "uploads", json: { model, content_type: body.type, size: body.size, task: call.task } }, signal);
  const form = new FormData();
  for (const [name, value] of Object.entries(ticket.fields)) form.append(name, value);
  form.append("file", body);
  await post(new URL(ticket.url.replace(/^\//, ""), base), form, signal, view);
  return ticket.id;
}

/** The file, or a JSON request if there are settings, which a file alone cannot carry. */
async function bodyOf({ file, query = {} }) {
  if (!Object.keys(query).length) return new File([file], file.name, { type: (file.type || "application/octet-stream").split(";")[0] });
  const base64 = await new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.addEventListener("load", () => resolve(reader.result.slice(reader.result.indexOf(",") + 1)));
    reader.addEventListener("error", () => reject(new ServiceError(`${file.name} cannot be read.`)));
    reader.readAsDataURL(file);
  });
  return new File([`{"parameters": ${JSON.stringify(query)}, "inputs": "`, base64, `"}`], "request.json", { type: "application/json" });
}

/** Posts a form; fetch does not report progress. */
function post(url, form, signal, view) {
  return new Promise((resolve, reject) => {
    const exchange = new XMLHttpRequest();
    const abort = () => { exchange.abort(); reject(new DOMException("aborted", "AbortError")); };
    exchange.open("POST", url);
    exchange.upload.addEventListener("progress", ({ loaded, total }) => view.sent(loaded, total));
    exchange.addEventListener("error", () => reject(new ServiceError("The upload was interrupted: the server does not respond.")));
    exchange.addEventListener("load", () => (exchange.status < 300 ? resolve() : reject(errorFrom(exchange.responseText, exchange.status, exchange.getResponseHeader("X-Request-Id")))));
    if (signal.aborted) return abort();
    signal.addEventListener("abort", abort, { once: true });
    exchange.send(form);
  });
}

async function result(id, signal, view) {
  const started = performance.now();
  for (let wait = 0.3; ; wait = Math.min(2, 1.5 * wait)) {
    view.waiting((performance.now() - started) / 1000);
    const { output, status } = await request({ path: `results/${id}` }, signal);
    if (status !== 202) return output.output;
    await pause(wait * 1000, signal);
  }
}

/** A version or an alias other than prod answers at once, within the time of a request. */
async function byReference({ model, task }, id, signal, view) {
  view.waiting(0);
  return (await request({ path: `pipeline/${task}/${encodeURIComponent(model)}`, json: { inputs: { upload: id } } }, signal)).output;
}

export function pause(milliseconds, signal) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, milliseconds);
    signal?.addEventListener("abort", () => { clearTimeout(timer); reject(new DOMException("aborted", "AbortError")); }, { once: true });
  });
}

function progress(target, file) {
  const bar = h("progress", { max: 1, "aria-label": "Progress of the upload" });
  const text = h("p.hint", null, `Uploading ${file.name}…`);
  show(target, h("div.uploading", null, bar, text));
  return {
    sent: (loaded, total) => {
      bar.value = loaded / total;
      text.textContent = loaded < total ? `Uploading ${file.name}: ${size(loaded)} of ${size(total)}` : "Uploaded; waiting for the server…";
    },
    waiting: (seconds) => {
      bar.removeAttribute("value");
      text.textContent = `Uploaded. The model is working on ${file.name}: ${Math.round(seconds)} s. You may leave this page and come back.`;
    },
  };
}
