import { base, key } from "./api.js";

const MAX_LINE_LENGTH = 88;

/** A value as a Python literal. */
export function py(value) {
  if (value === null) return "None";
  if (value === true) return "True";
  if (value === false) return "False";
  if (Array.isArray(value)) return `[${value.map(py).join(", ")}]`;
  if (typeof value === "object") return `{${Object.entries(value).map(([name, item]) => `${py(name)}: ${py(item)}`).join(", ")}}`;
  return JSON.stringify(value);
}

/** The query of a call as Python, whose own booleans would be sent as True and False. */
export const pyQuery = (query) => py(Object.fromEntries(Object.entries(query).map(([name, value]) => [name, typeof value === "boolean" ? String(value) : value])));

/** A call of a Python function, with one argument per line if it is too long for one line. */
export function pythonCall(name, parts, before = "", after = "") {
  const line = `${before}${name}(${parts.join(", ")})${after}`;
  return line.length <= MAX_LINE_LENGTH ? line : `${before}${name}(\n${parts.map((part) => `    ${part},`).join("\n")}\n)${after}`;
}

/** Keyword arguments for the parameters that the client supports, and a comment about the others. */
function keywordArguments(parameters, names) {
  const known = Object.entries(parameters ?? {}).filter(([name]) => name in names);
  const unknown = Object.keys(parameters ?? {}).filter((name) => !(name in names));
  return {
    parts: known.map(([name, value]) => `${names[name]}=${py(value)}`),
    note: unknown.length ? `# This client does not support ${unknown.join(", ")}.\n` : "",
  };
}

const same = (...names) => Object.fromEntries(names.map((name) => [name, name]));
const shellQuoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;
/** The URL of a call with its query. */
export const address = (call) => {
  const url = new URL(call.path, base);
  for (const [name, value] of Object.entries(call.query ?? {})) url.searchParams.set(name, value);
  return url.href;
};

export function curl(call) {
  const parts = [`curl ${call.json?.stream ? "-N " : ""}${shellQuoted(address(call))}`];
  if (key.get()) parts.push(`-H "x-api-key: $HEARTH_KEY"`);
  if (call.json) parts.push("-H 'Content-Type: application/json'", `-d ${shellQuoted(JSON.stringify(call.json))}`);
  else parts.push(`--data-binary ${shellQuoted(`@${call.name}`)}`);
  return parts.join(" \\\n  ");
}

/** The methods of huggingface_hub's InferenceClient and their arguments, by task. */
const HUB_METHODS = {
  "text-classification": ({ json }) => ({ name: "text_classification", parts: [py(json.inputs)] }),
  "zero-shot-classification": ({ json: { inputs, parameters: { candidate_labels, ...others } } }) => {
    const { parts, note } = keywordArguments(others, same("multi_label", "hypothesis_template"));
    return { name: "zero_shot_classification", parts: [py(inputs), `candidate_labels=${py(candidate_labels)}`, ...parts], note };
  },
  "token-classification": ({ json }) => method("token_classification", [py(json.inputs)], json.parameters, same("aggregation_strategy")),
  "fill-mask": ({ json }) => method("fill_mask", [py(json.inputs)], json.parameters, same("top_k")),
  "question-answering": ({ json }) => method("question_answering", [`question=${py(json.inputs.question)}`, `context=${py(json.inputs.context)}`], json.parameters, same("top_k", "handle_impossible_answer")),
  summarization: ({ json }) => method("summarization", [py(json.inputs)], json.parameters, {}),
  "feature-extraction": ({ json: { inputs, ...others } }) => method("feature_extraction", [py(inputs)], others, same("dimensions")),
  "sentence-similarity": ({ json: { inputs } }) => ({ name: "sentence_similarity", parts: [py(inputs.source_sentence), `other_sentences=${py(inputs.sentences)}`] }),
  "image-classification": ({ name, query }) => method("image_classification", [py(name)], query, same("top_k")),
  "object-detection": ({ name, query }) => method("object_detection", [py(name)], query, same("threshold")),
  "automatic-speech-recognition": ({ name, query }) => ({ name: "automatic_speech_recognition", parts: [py(name), ...(Object.keys(query).length ? [`extra_body=${py(query)}`] : [])] }),
};

function method(name, first, parameters, names) {
  const { parts, note } = keywordArguments(parameters, names);
  return { name, parts: [...first, ...parts], note };
}

export function hub(call) {
  if (call.task === "chat") return hubChat(call);
  const url = new URL(call.path, base).href;
  const secret = key.get() ? `, headers={"x-api-key": os.environ["HEARTH_KEY"]}` : "";
  const head = `${secret ? "import os\n\n" : ""}from huggingface_hub import InferenceClient\n\nclient = InferenceClient(model=${py(url)}${secret})\n`;
  if (call.task === "text-generation") {
    const { parts, note } = keywordArguments(call.json.parameters, same("max_new_tokens", "temperature", "top_k", "top_p", "repetition_penalty", "seed"));
    return `${head}${note}${pythonCall("client.text_generation", [py(call.json.inputs), ...parts, "stream=True"], "for token in ", ":")}\n    print(token, end="", flush=True)`;
  }
  if (call.task === "translation") {
    const { src_lang, tgt_lang, ...others } = call.json.parameters ?? {};
    const { parts } = keywordArguments(tgt_lang ? { src_lang, tgt_lang } : {}, same("src_lang", "tgt_lang"));
    if (Object.keys(others).length) parts.push(`generate_parameters=${py(others)}`);
    return Array.isArray(call.json.inputs)
      ? `${head}for text in ${py(call.json.inputs)}:\n    print(client.translation(${["text", ...parts].join(", ")}).translation_text)`
      : `${head}result = ${pythonCall("client.translation", [py(call.json.inputs), ...parts])}\nprint(result.translation_text)`;
  }
  if (call.task in HUB_METHODS) {
    const { name, parts, note = "" } = HUB_METHODS[call.task](call);
    return `${head}${note}${pythonCall(`client.${name}`, parts, "result = ")}\nprint(result)`;
  }
  return null;
}

function hubChat({ json: { model, messages, stream, ...others } }) {
  const secret = key.get() ? `, headers={"x-api-key": os.environ["HEARTH_KEY"]}` : "";
  const head = `${secret ? "import os\n\n" : ""}from huggingface_hub import InferenceClient\n\nclient = InferenceClient(base_url=${py(new URL("v1", base).href)}${secret})\n`;
  const { parts } = keywordArguments(others, same(...Object.keys(others)));
  return `${head}${pythonCall("client.chat_completion", [py(messages), `model=${py(model)}`, ...parts], "result = ")}\nprint(result.choices[0].message.content)`;
}

export function openai(call) {
  const secret = key.get() ? `, default_headers={"x-api-key": os.environ["HEARTH_KEY"]}` : "";
  const head = `${secret ? "import os\n\n" : ""}from openai import OpenAI\n\nclient = OpenAI(base_url=${py(new URL("v1", base).href)}, api_key="none"${secret})\n`;
  const model = `model=${py(call.model)}`;
  if (call.task === "chat") {
    const { model: ignored, messages, stream, ...others } = call.json;
    const { parts } = keywordArguments(others, same(...Object.keys(others)));
    return `${head}${pythonCall("client.chat.completions.create", [model, `messages=${py(messages)}`, ...parts, "stream=True"], "stream = ")}\nfor chunk in stream:\n    if chunk.choices:\n        print(chunk.choices[0].delta.content or "", end="", flush=True)`;
  }
  if (call.task === "text-generation") {
    const { parts, note } = keywordArguments(call.json.parameters, { max_new_tokens: "max_tokens", ...same("temperature", "top_p", "seed") });
    return `${head}${note}${pythonCall("client.completions.create", [model, `prompt=${py(call.json.inputs)}`, ...parts, "stream=True"], "stream = ")}\nfor chunk in stream:\n    print(chunk.choices[0].text, end="", flush=True)`;
  }
  if (call.task === "feature-extraction") {
    const { inputs, ...others } = call.json;
    const { parts, note } = keywordArguments(others, same("dimensions"));
    return `${head}${note}${pythonCall("client.embeddings.create", [model, `input=${py(inputs)}`, ...parts], "response = ")}\nprint([len(item.embedding) for item in response.data])`;
  }
  if (call.task === "automatic-speech-recognition") {
    const timestamps = call.query.return_timestamps ? [`response_format="verbose_json"`, `timestamp_granularities=["word"]`] : [];
    const { note } = keywordArguments(call.query, same("return_timestamps"));
    return `${head}${note}with open(${py(call.name)}, "rb") as audio:\n    ${pythonCall("client.audio.transcriptions.create", [model, "file=audio", ...timestamps], "response = ").replaceAll("\n", "\n    ")}\nprint(response.text${timestamps.length ? ", response.words" : ""})`;
  }
  return null;
}
