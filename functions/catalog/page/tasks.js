import { film } from "./film.js";
import { generation } from "./generation.js";
import { detection, picture } from "./pictures.js";
import { speech } from "./speech.js";
import { classification, zeroShot } from "./text.js";
import { translation } from "./translation.js";
import { likeness, vectors } from "./vectors.js";
import { entities, mask, question } from "./words.js";

/** What the page says of each task, and how it asks and shows it. */
export const TASKS = {
  "text-classification": { title: "Text classification", family: "Text", view: classification },
  "zero-shot-classification": { title: "Zero-shot classification", family: "Text", view: zeroShot },
  "token-classification": { title: "Named entities", family: "Text", view: entities },
  "fill-mask": { title: "Fill in the blank", family: "Text", view: mask },
  "question-answering": { title: "Question answering", family: "Text", view: question },
  "text-generation": { title: "Text generation", family: "Text", view: generation },
  translation: { title: "Translation", family: "Text", view: translation },
  "feature-extraction": { title: "Embeddings", family: "Text", view: vectors },
  "sentence-similarity": { title: "Sentence similarity", family: "Text", view: likeness },
  "image-classification": { title: "Image classification", family: "Pictures and film", view: picture },
  "object-detection": { title: "Object detection", family: "Pictures and film", view: detection },
  "object-tracking": { title: "Object tracking", family: "Pictures and film", view: film },
  "automatic-speech-recognition": { title: "Speech recognition", family: "Sound", view: speech },
};

export const FAMILIES = ["Text", "Pictures and film", "Sound"];

const ALSO = {
  "object-detection": ["object-tracking"],
  "feature-extraction": ["sentence-similarity"],
  "sentence-similarity": ["feature-extraction"],
};

/** What a model whose manifest says `task` can be asked, its own task first. */
export const able = (task) => [task, ...(ALSO[task] ?? [])].filter((name) => name in TASKS);

export const title = (task) => TASKS[task]?.title ?? task;
