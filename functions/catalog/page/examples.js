const ENGLISH = {
  "text-classification": [
    { title: "A good evening", value: { text: "A quiet, generous film: I left the cinema happier than I came." } },
    { title: "A bad one", value: { text: "Two hours of noise, and not one scene that I would want to see again." } },
    { title: "In between", value: { text: "The acting is fine, but the plot never goes anywhere." } },
  ],
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
  "text-ranking": [
    { title: "Who bought it?", value: { query: "Who bought the mill?", others: "Anna Berg bought the mill from her uncle.\nThe mill stands by the river.\nThe night train leaves at nine." } },
  ],
  "feature-extraction": [
    { title: "Music and money", value: { text: "A man is playing the guitar.\nSomebody plays an instrument.\nThe bank raised its interest rates.\nLending money became more expensive.\nTwo dogs run through the snow." } },
  ],
  "sentence-similarity": [
    { title: "Which means the same?", value: { source: "A man is playing the guitar.", others: "Somebody plays an instrument.\nTwo dogs run through the snow.\nThe bank raised its interest rates.\nA woman is singing on stage." } },
  ],
  "image-classification": [{ title: "A ship", file: "ship.jpg", type: "image/jpeg" }],
  "object-detection": [{ title: "A ship", file: "ship.jpg", type: "image/jpeg" }],
  "object-tracking": [{ title: "Drifting cells", file: "cells.mp4", type: "video/mp4" }],
  "automatic-speech-recognition": [{ title: "Five digits", file: "digits.mp3", type: "audio/mpeg" }],
};

const CHINESE = {
  "text-classification": [
    { title: "好评", value: { text: "房间干净，服务热情，早餐也很丰富，下次还会再来。" } },
    { title: "差评", value: { text: "等了两个小时才送到，菜都凉了，味道也很一般。" } },
  ],
  "token-classification": [
    { title: "出行", value: { text: "王小明昨天从北京大学出发，去了上海，晚上在复旦大学见到了李华。" } },
    { title: "新闻", value: { text: "联合国秘书长安南今天在纽约会见了中国外交部长唐家璇。" } },
  ],
};

/** Examples of single models, for which those of the task are not suitable. */
const BY_MODEL = {
  "gpt-shakespeare": [
    { title: "Romeo", value: { text: "ROMEO:\nBut soft, what light" } },
    { title: "A king", value: { text: "KING RICHARD:\nNow is the winter" } },
    { title: "Two citizens", value: { text: "First Citizen:\nWe are accounted poor" } },
  ],
};

/** The examples of a task for a model, and the language of its texts. */
export function examples(model, task) {
  const isChinese = /\bzh\b|Chinese text|Chinese review/.test(`${model.model} ${model.description}`) && task !== "translation";
  const detectsBloodCells = model.labels?.includes("RBC") && task === "object-detection";
  const list = detectsBloodCells
    ? [{ title: "A blood smear", file: "cells.jpg", type: "image/jpeg" }]
    : (BY_MODEL[model.model] ?? (isChinese ? CHINESE[task] : undefined) ?? ENGLISH[task] ?? []);
  return { lang: isChinese ? "zh" : "en", list };
}
