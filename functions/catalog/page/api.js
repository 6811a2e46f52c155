import { session } from "./saved.js";

/** The URL of the page and of the service, which may be below the name of an API Gateway stage. */
export const base = new URL(".", document.baseURI);

const KEY = "hearth-key";

let secret = session.get(KEY) ?? "";

/** The API key; without storage it lasts until the page is closed. */
export const key = {
  get: () => secret,
  set: (value) => {
    secret = value;
    session.set(KEY, value || null);
  },
};

/** An error response of the service; status 0 if there was no response. */
export class ServiceError extends Error {
  constructor(message, { status = 0, type = "", id = "", retryAfter = 0 } = {}) {
    super(message);
    Object.assign(this, { status, type, id, retryAfter });
  }
}

/** Parses a Server-Timing header: whether the request loaded a model, the steps in milliseconds, and their sum. */
export function timing(header) {
  const steps = [];
  let cold = false;
  let total = null;
  for (const entry of (header ?? "").split(",")) {
    const [name, ...parameters] = entry.trim().split(";");
    const duration = parameters.map((parameter) => parameter.trim()).find((parameter) => parameter.startsWith("dur="));
    const ms = duration === undefined ? null : Number(duration.slice(4));
    if (name === "cold") cold = true;
    else if (name === "total") total = ms;
    else if (name && ms !== null) steps.push({ name, ms });
  }
  return { cold, steps, total };
}

/** Sends a call, as `bench.js` builds it, and returns the response. Throws ServiceError, or AbortError if `signal` aborts. */
export async function send(call, signal) {
  const headers = key.get() ? { "x-api-key": key.get() } : {};
  if (call.file) headers["Content-Type"] = call.file.type || "application/octet-stream";
  else if (call.json) headers["Content-Type"] = "application/json";
  const url = new URL(call.path, base);
  for (const [name, value] of Object.entries(call.query ?? {})) url.searchParams.set(name, value);
  const body = call.file ?? (call.json && JSON.stringify(call.json));
  let response;
  try {
    response = await fetch(url, { method: call.method ?? (body ? "POST" : "GET"), headers, body, signal });
  } catch (error) {
    throw failure(error);
  }
  if (!response.ok) throw await errorOf(response);
  return response;
}

/** What an error of `fetch` or of reading a body means: TypeErrors are those of the connection. */
const failure = (error) => (error instanceof TypeError ? new ServiceError("The server does not respond.") : error);

async function errorOf(response) {
  return errorFrom(await response.text(), response.status, response.headers.get("X-Request-Id"), response.headers.get("Retry-After"));
}

/** The error that a response with this body means. */
export function errorFrom(text, status, id, retryAfter) {
  let body = {};
  try {
    body = JSON.parse(text) ?? {};
  } catch {
    // the text of a proxy or the XML of S3, which is not JSON
    const message = /<Message>([^<]*)<\/Message>/.exec(text)?.[1];
    if (message) text = message;
  }
  const { message, type } = described(body);
  return new ServiceError(message ?? (text.slice(0, 200) || `The server responded with status ${status}.`), {
    status,
    type,
    id: body.request_id ?? id ?? "",
    retryAfter: Number(retryAfter) || 0,
  });
}

/** The message and the type of an error, which OpenAI's routes put into an object. */
const described = ({ error, message, error_type: type = "" }) => (error?.message ? { message: error.message, type: error.type } : { message: error ?? message, type });

/** Sends a call and returns its JSON output, the times of the server, the request id, and the total milliseconds. */
export async function request(call, signal) {
  const started = performance.now();
  const response = await send(call, signal);
  const output = response.status === 204 ? null : await response.json().catch((error) => { throw failure(error); });
  return { output, status: response.status, ...metadata(response), elapsed: performance.now() - started };
}

export const metadata = (response) => ({
  timing: timing(response.headers.get("Server-Timing")),
  id: response.headers.get("X-Request-Id") ?? "",
  answered: response.headers.get("X-Hearth-Model") ?? "",
  novelty: Number(response.headers.get("X-Hearth-Novelty")) || 0,
});

/**
 * The events of a stream: {data} for each, {timing} for the comment at its end. Throws ServiceError for an error event, and
 * AbortError as soon as `signal` aborts, also where the rest of the stream has arrived already.
 */
export async function* events(response, signal) {
  const reader = response.body.getReader();
  const decoder = new TextDecoder();
  let buffer = "";
  for (;;) {
    const { value, done } = await reader.read().catch((error) => { throw failure(error); });
    buffer += decoder.decode(value, { stream: !done });
    const blocks = buffer.split(/\r?\n\r?\n/);
    buffer = done ? "" : blocks.pop();
    for (const block of blocks) {
      signal.throwIfAborted();
      for (const line of block.split(/\r?\n/)) {
        if (line.startsWith(": server-timing")) yield { timing: timing(line.slice(": server-timing".length)) };
        if (!line.startsWith("data:") || line.trim() === "data: [DONE]") continue;
        const data = JSON.parse(line.slice(5));
        if (data.error) {
          const { message, type } = described(data);
          throw new ServiceError(message, { type, id: data.request_id });
        }
        yield { data };
      }
    }
    if (done) return;
  }
}
