/** Where the page lies, and so the service: also below a stage's name, as API Gateway has it. */
export const base = new URL(".", document.baseURI);

const KEY = "hearth-key";

export const key = {
  get: () => sessionStorage.getItem(KEY) ?? "",
  set: (value) => (value ? sessionStorage.setItem(KEY, value) : sessionStorage.removeItem(KEY)),
};

/** What the service said instead of an answer; status 0 where it said nothing. */
export class Refusal extends Error {
  constructor(words, { status = 0, type = "", id = "", retryAfter = 0 } = {}) {
    super(words);
    Object.assign(this, { status, type, id, retryAfter });
  }
}

/** A Server-Timing header: whether a model was loaded for this request, the steps in milliseconds and their sum. */
export function timing(header) {
  const steps = [];
  let cold = false;
  let total = null;
  for (const entry of (header ?? "").split(",")) {
    const [name, ...parts] = entry.trim().split(";");
    const duration = parts.map((part) => part.trim()).find((part) => part.startsWith("dur="));
    const ms = duration === undefined ? null : Number(duration.slice(4));
    if (name === "cold") cold = true;
    else if (name === "total") total = ms;
    else if (name && ms !== null) steps.push({ name, ms });
  }
  return { cold, steps, total };
}

/** The response to a call; `call` is as `calls.js` makes it. Raises Refusal, or AbortError where `signal` says so. */
export async function send(call, signal) {
  const headers = key.get() ? { "x-api-key": key.get() } : {};
  if (call.file) headers["Content-Type"] = call.file.type || "application/octet-stream";
  else if (call.json) headers["Content-Type"] = "application/json";
  const url = new URL(call.path, base);
  for (const [name, value] of Object.entries(call.query ?? {})) url.searchParams.set(name, value);
  const body = call.file ?? (call.json && JSON.stringify(call.json));
  let response;
  try {
    response = await fetch(url, { method: body ? "POST" : "GET", headers, body, signal });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refusal("The server does not answer.");
  }
  if (!response.ok) throw await refusal(response);
  return response;
}

async function refusal(response) {
  const text = await response.text();
  let said = {};
  try {
    said = JSON.parse(text);
  } catch {
    // a proxy's own words
  }
  return new Refusal(said.error ?? said.message ?? (text.slice(0, 200) || response.statusText), {
    status: response.status,
    type: said.error_type ?? "",
    id: said.request_id ?? response.headers.get("X-Request-Id") ?? "",
    retryAfter: Number(response.headers.get("Retry-After")) || 0,
  });
}

/** A whole answer: the JSON, the times, the id under which the log has it, and milliseconds until it was here. */
export async function ask(call, signal) {
  const started = performance.now();
  const response = await send(call, signal);
  const answer = await response.json();
  return { answer, ...about(response), trip: performance.now() - started };
}

export const about = (response) => ({
  timing: timing(response.headers.get("Server-Timing")),
  id: response.headers.get("X-Request-Id") ?? "",
});

/** The events of a stream: {data} for each, {timing} for the comment at its end. Raises Refusal for an event that is one. */
export async function* events(response) {
  const reader = response.body.getReader();
  const decoder = new TextDecoder();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    rest += decoder.decode(value, { stream: !done });
    const parts = rest.split(/\r?\n\r?\n/);
    rest = done ? "" : parts.pop();
    for (const part of parts) {
      for (const line of part.split(/\r?\n/)) {
        if (line.startsWith(": server-timing")) yield { timing: timing(line.slice(": server-timing".length)) };
        if (!line.startsWith("data:")) continue;
        const data = JSON.parse(line.slice(5));
        if (data.error) throw new Refusal(data.error, { type: data.error_type, id: data.request_id });
        yield { data };
      }
    }
    if (done) return;
  }
}
