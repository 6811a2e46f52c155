import { base, key } from "./api.js";
import { address, py, pyQuery, pythonCall } from "./snippets.js";

/** The body of a call without the request for a stream, which needs more code than an example should have. */
function plain({ stream, ...json }) {
  return json;
}

export function requests(call) {
  const parts = [py(new URL(call.path, base).href)];
  if (call.json) parts.push(`json=${py(plain(call.json))}`);
  else parts.push(`data=Path(${py(call.name)}).read_bytes()`);
  if (call.query && Object.keys(call.query).length) parts.push(`params=${pyQuery(call.query)}`);
  if (key.get()) parts.push(`headers={"x-api-key": os.environ["HEARTH_KEY"]}`);
  const standard = [key.get() && "import os", !call.json && "from pathlib import Path"].filter(Boolean).join("\n");
  return `${standard && `${standard}\n\n`}import requests\n\n${pythonCall("requests.post", parts, "response = ")}\nresponse.raise_for_status()\nprint(response.json())`;
}

export function javascript(call) {
  const headers = [...(call.json ? [`"Content-Type": "application/json"`] : []), ...(key.get() ? [`"x-api-key": key`] : [])];
  const body = call.json ? `JSON.stringify(${JSON.stringify(plain(call.json), null, 2).replaceAll("\n", "\n  ")})` : "file, // a File, such as input.files[0]";
  return `const response = await fetch(${JSON.stringify(address(call))}, {
  method: "POST",${headers.length ? `\n  headers: { ${headers.join(", ")} },` : ""}
  body: ${body}${body.includes("//") ? "" : ","}
});
if (!response.ok) throw new Error(await response.text());
console.log(await response.json());`;
}

/** The name of the only input of a task in the Open Inference Protocol. */
const INPUTS = {
  "text-classification": "text", "token-classification": "text", "fill-mask": "text", "feature-extraction": "text", "text-generation": "text",
  translation: "text", summarization: "text", "text2text-generation": "text",
  "image-classification": "image", "object-detection": "image", "image-segmentation": "image", "automatic-speech-recognition": "audio",
};

export function triton(call) {
  const name = INPUTS[call.task];
  if (!name || (call.json && typeof [call.json.inputs].flat()[0] !== "string")) return null;
  const parameters = call.json ? call.json.parameters ?? {} : call.query ?? {};
  if (!Object.values(parameters).every((value) => ["string", "number", "boolean"].includes(typeof value))) return null;
  const { inputs, parameters: ignored, ...fields } = call.json ? plain(call.json) : {};
  const values = call.json ? py([inputs].flat()) : `[Path(${py(call.name)}).read_bytes()]`;
  const options = { ...fields, ...parameters };
  const parts = [py(call.model), "[data]", ...(Object.keys(options).length ? [`parameters=${py(options)}`] : []), ...(key.get() ? [`headers={"x-api-key": os.environ["HEARTH_KEY"]}`] : [])];
  const host = `${base.host}${base.pathname.replace(/\/$/, "")}`;
  return `import json\n${key.get() ? "import os\n" : ""}${call.json ? "" : "from pathlib import Path\n"}\nimport numpy as np\nfrom tritonclient.http import InferenceServerClient, InferInput\n
client = InferenceServerClient(${py(host)}${base.protocol === "https:" ? ", ssl=True" : ""})
values = ${values}
data = InferInput(${py(name)}, [len(values)], "BYTES")
data.set_data_from_numpy(np.array(values, np.object_))
${pythonCall("client.infer", parts, "result = ")}
print([json.loads(item) for item in result.as_numpy("response")])`;
}

/** The call of a file that does not fit into a request: upload it, then wait for the result. */
export function uploading(call) {
  const settings = call.query ?? {};
  const hasSettings = Object.keys(settings).length > 0;
  const type = hasSettings ? "application/json" : (call.file.type || "application/octet-stream").split(";")[0];
  const [model, reference] = call.model.split("@");
  const headers = key.get() ? `session.headers["x-api-key"] = os.environ["HEARTH_KEY"]\n` : "";
  const body = hasSettings
    ? `inputs = base64.b64encode(Path(${py(call.name)}).read_bytes()).decode()\nbody = json.dumps({"inputs": inputs, "parameters": ${py(settings)}}).encode()`
    : `body = Path(${py(call.name)}).read_bytes()`;
  const result = reference
    ? `response = session.post(service + ${py(call.path)}, json={"inputs": {"upload": ticket["id"]}})
response.raise_for_status()
print(response.json())`
    : `while (response := session.get(service + "results/" + ticket["id"])).status_code == 202:
    time.sleep(1)
response.raise_for_status()
print(response.json()["output"])`;
  return `${hasSettings ? "import base64\nimport json\n" : ""}${headers ? "import os\n" : ""}${reference ? "" : "import time\n"}from pathlib import Path
from urllib.parse import urljoin

import requests

service = ${py(base.href)}
session = requests.Session()
${headers}${body}
document = {"model": ${py(model)}, "task": ${py(call.task)}, "content_type": ${py(type)}, "size": len(body)}
ticket = session.post(service + "uploads", json=document).json()
url = urljoin(service, ticket["url"].lstrip("/"))
requests.post(url, data=ticket["fields"], files={"file": body}).raise_for_status()
${result}`;
}
