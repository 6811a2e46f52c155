import { objectTracking } from "./film.js";
import { textGeneration } from "./generation.js";
import { imageClassification, imageFeatures, objectDetection, zeroShotImages } from "./pictures.js";
import { imageSegmentation } from "./segments.js";
import { speechRecognition } from "./speech.js";
import { tabular, tensors } from "./tables.js";
import { textClassification, zeroShotClassification } from "./text.js";
import { summarization, text2textGeneration, translation } from "./translation.js";
import { analogies, featureExtraction, sentenceSimilarity, textRanking } from "./vectors.js";
import { fillMask, questionAnswering, tokenClassification } from "./words.js";

/**
 * The title, family and view of each task; `bench.js` describes views. `chat.js` is the page of `chat`. `of` is the task that
 * answers a kind of call which is no task of the service.
 */
export const TASKS = {
  "text-classification": { title: "Text classification", family: "Text", view: textClassification },
  "zero-shot-classification": { title: "Zero-shot classification", family: "Text", view: zeroShotClassification },
  "token-classification": { title: "Named entities", family: "Text", view: tokenClassification },
  "fill-mask": { title: "Fill in the blank", family: "Text", view: fillMask },
  "question-answering": { title: "Question answering", family: "Text", view: questionAnswering },
  "text-generation": { title: "Text generation", family: "Text", view: textGeneration },
  chat: { title: "Chat", family: "Text" },
  translation: { title: "Translation", family: "Text", view: translation },
  summarization: { title: "Summarization", family: "Text", view: summarization },
  "text2text-generation": { title: "Text to text", family: "Text", view: text2textGeneration },
  "text-ranking": { title: "Ranking", family: "Text", view: textRanking },
  "feature-extraction": { title: "Embeddings", family: "Text", view: featureExtraction },
  "sentence-similarity": { title: "Sentence similarity", family: "Text", view: sentenceSimilarity },
  analogies: { title: "Analogies", family: "Text", view: analogies, of: "feature-extraction" },
  "image-classification": { title: "Image classification", family: "Images and video", view: imageClassification },
  "object-detection": { title: "Object detection", family: "Images and video", view: objectDetection },
  "image-segmentation": { title: "Image segmentation", family: "Images and video", view: imageSegmentation },
  "zero-shot-image-classification": { title: "Zero-shot image classification", family: "Images and video", view: zeroShotImages },
  "image-feature-extraction": { title: "Image embeddings", family: "Images and video", view: imageFeatures },
  "object-tracking": { title: "Object tracking", family: "Images and video", view: objectTracking },
  "automatic-speech-recognition": { title: "Speech recognition", family: "Audio", view: speechRecognition },
  "tabular-classification": { title: "Table classification", family: "Tables and tensors", view: tabular },
  "tabular-regression": { title: "Table regression", family: "Tables and tensors", view: tabular },
  tensors: { title: "Tensors", family: "Tables and tensors", view: tensors },
};

export const FAMILIES = ["Text", "Images and video", "Audio", "Tables and tensors"];

/** Other tasks that models of a task can perform. */
const RELATED_TASKS = {
  "object-detection": ["object-tracking"],
  "zero-shot-image-classification": ["image-feature-extraction"],
  "feature-extraction": ["sentence-similarity"],
  "sentence-similarity": ["feature-extraction"],
};

/** The tasks that a model can perform, its own first. */
export const tasksOf = ({ task, head }) => [task, ...(RELATED_TASKS[task] ?? []), ...(head?.chat_template ? ["chat"] : []), ...(head?.words ? ["analogies"] : [])].filter((name) => name in TASKS);

/** The path of a call of a task; a model's own task needs no name. */
export const pathOf = (task, name, own) => {
  const service = TASKS[task].of ?? task;
  return service === own ? `models/${encodeURIComponent(name)}` : `pipeline/${service}/${encodeURIComponent(name)}`;
};

export const title = (task) => TASKS[task]?.title ?? task;
