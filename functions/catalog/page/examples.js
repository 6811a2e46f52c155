import { request } from "./api.js";

/** Examples that suit every model of a task; none for tasks whose models have classes of their own. */
const ENGLISH = {
  "zero-shot-classification": [
    { title: "A complaint", value: { text: "My new phone does not charge any more, and nobody answers my letters.", labels: "complaint\npraise\nquestion" } },
    { title: "News", value: { text: "The central bank left its interest rates where they were.", labels: "sports\neconomy\nscience\nculture" } },
  ],
  "token-classification": [{ title: "A letter", value: { text: "Maria lives in Berlin and works for Siemens; in May she flies to Oslo." } }],
  "fill-mask": [
    { title: "A capital", value: { text: "The capital of France is [MASK]." } },
    { title: "Two blanks", value: { text: "She opened the [MASK] and let the [MASK] in." } },
  ],
  "question-answering": [
    { title: "Where?", value: { question: "Where does Anna live?", context: "My name is Anna. I was born in Lisbon, but for ten years now I have lived in Oslo, where I build boats." } },
  ],
  "text-generation": [
    { title: "Once upon a time", value: { text: "Once upon a time, there was a little fox" } },
  ],
  translation: [
    { title: "Small talk", value: { text: "I love you.\nShe does not want to go home.\nTwo children are playing in the park." } },
    { title: "A question", value: { text: "Where is the station?" } },
  ],
  summarization: [
    { title: "A mill", value: { text: "The mill stands by the river since 1873. Anna Berg bought it from her uncle and made it a hotel of ten rooms. In summer its guests take the boat to the town; in winter the mill is closed." } },
  ],
  "text2text-generation": [{ title: "German", value: { text: "translate English to German: The house is small." } }],
  analogies: [
    { title: "A queen", value: { words: "king - man + woman" } },
    { title: "A capital", value: { words: "paris - france + italy" } },
    { title: "Neighbours", value: { words: "guitar" } },
  ],
  "text-ranking": [
    { title: "Who bought it?", value: { query: "Who bought the mill?", others: "Anna Berg bought the mill from her uncle.\nThe mill stands by the river.\nThe night train leaves at nine." } },
  ],
  "feature-extraction": [
    { title: "Music and money", value: { text: "A man is playing the guitar.\nSomebody plays an instrument.\nThe bank raised its interest rates.\nLending money became more expensive.\nTwo dogs run through the snow." } },
  ],
  "sentence-similarity": [
    { title: "Which means the same?", value: { source: "A man is playing the guitar.", others: "Somebody plays an instrument.\nTwo dogs run through the snow.\nThe bank raised its interest rates.\nA woman is singing on stage." } },
  ],
  "automatic-speech-recognition": [{ title: "Five digits", file: "digits.mp3", type: "audio/mpeg" }],
};

/** Examples of the models of this project, by recipe and task: inside what they learnt. */
const BY_RECIPE = {
  "sentiment-en text-classification": [
    { title: "A good evening", value: { text: "A quiet, generous film: I left the cinema happier than I came." } },
    { title: "A bad one", value: { text: "Two hours of noise, and not one scene that I would want to see again." } },
    { title: "In between", value: { text: "The acting is fine, but the plot never goes anywhere." } },
  ],
  "sentiment-zh text-classification": [
    { title: "好评", value: { text: "房间干净，服务热情，早餐也很丰富，下次还会再来。" } },
    { title: "差评", value: { text: "等了两个小时才送到，菜都凉了，味道也很一般。" } },
  ],
  "ner-zh token-classification": [
    { title: "出行", value: { text: "王小明昨天从北京大学出发，去了上海，晚上在复旦大学见到了李华。" } },
    { title: "新闻", value: { text: "联合国秘书长安南今天在纽约会见了中国外交部长唐家璇。" } },
  ],
  "resnet20-cifar10 image-classification": [{ title: "A ship", file: "ship.jpg", type: "image/jpeg" }],
  "efficientnet-lite0-imagenet image-classification": [{ title: "A ship", file: "ship.jpg", type: "image/jpeg" }],
  "translate-en-de translation": [
    { title: "Captions", value: { text: "Two children play in the snow with a dog.\nA woman in a red coat is waiting for the bus." } },
    { title: "A bicycle", value: { text: "A man is riding a bicycle." } },
  ],
  "yolo-cells object-detection": [{ title: "A blood smear", file: "cells.jpg", type: "image/jpeg" }],
  "yolo-cells object-tracking": [{ title: "Drifting cells", file: "cells.mp4", type: "video/mp4" }],
  "gpt-shakespeare text-generation": [
    { title: "Romeo", value: { text: "ROMEO:\nBut soft, what light" } },
    { title: "A king", value: { text: "KING RICHARD:\nNow is the winter" } },
    { title: "Two citizens", value: { text: "First Citizen:\nWe are accounted poor" } },
  ],
};

/** The examples of a task for a model, and the language of its texts. */
export async function examples(model, task) {
  const lang = language(model, task);
  const own = BY_RECIPE[`${model.provenance.recipe} ${task}`];
  if (own) return { lang, list: own };
  if (task in GOLDEN && task === model.task) return { lang, list: await goldenExamples(model, GOLDEN[task]) };
  const isForeign = task === "translation" && model.head?.source?.length && !model.head.source.some((code) => code.startsWith("en"));
  return { lang, list: isForeign ? [] : (ENGLISH[task] ?? []) };
}

function language(model, task) {
  if (task === "translation") return "en";
  return /\bzh\b|Chinese text|Chinese review/.test(`${model.model} ${model.description}`) ? "zh" : "en";
}

const quoted = (value) => (/[",\n]/.test(String(value)) ? `"${String(value).replaceAll('"', '""')}"` : String(value ?? ""));

const csv = (rows) => ({ table: [Object.keys(rows[0]), ...rows.map(Object.values)].map((row) => row.map(quoted).join(",")).join("\n") });

/** Tasks whose golden inputs show what a model of one's own takes, and how they become the fields of the form. */
const GOLDEN = {
  "tabular-classification": (rows) => csv([rows].flat()),
  "tabular-regression": (rows) => csv([rows].flat()),
  tensors: (inputs) => ({ inputs: JSON.stringify(inputs) }),
};

/** The inputs with which a model was checked when it was published. */
async function goldenExamples({ model, version }, valueOf) {
  const { examples: inputs } = await card(`${model}@${version}`);
  return inputs.slice(0, 3).map((value, index) => ({ title: `Example ${index + 1}`, value: valueOf(value) }));
}

const cards = new Map();

/** The report, plots and examples of an artifact, requested once; empty where the service has none. */
export function card(name) {
  if (!cards.has(name)) cards.set(name, request({ path: `models/${encodeURIComponent(name)}/card` }).then(({ output }) => output, () => {
    cards.delete(name);
    return { report: "", plots: [], examples: [] };
  }));
  return cards.get(name);
}
