import { h, hue, percent, position } from "./dom.js";
import { filePicker, shrink } from "./files.js";
import { scoreList } from "./text.js";

export const imagePicker = () => filePicker({
  accept: "image/*",
  hint: "or drop or paste one here",
  preview: (file, url) => h("img", { src: url, alt: `Image ${file.name}` }),
  prepare: shrink,
});

export const call = (file, query) => ({ file, name: file?.name ?? "photo.jpg", query });

export const imageClassification = {
  form: imagePicker,
  settings: () => [{ name: "top_k", label: "Labels", kind: "number", min: 1, max: 100, placeholder: "5" }],
  call,
  render: (scores) => scoreList(scores),
  summarise: ([best]) => `${best.label}, ${percent(best.score)}`,
};

export const zeroShotImages = {
  form: imagePicker,
  settings: (model) => [
    { name: "candidate_labels", label: "Labels", kind: "text", value: "a photo of a person, an animal, a building", hint: "Separated by commas." },
    { name: "hypothesis_template", label: "Template", kind: "text", placeholder: model.head?.template ?? "This is a photo of {}." },
  ],
  call,
  render: (scores) => scoreList(scores),
  summarise: ([best]) => `${best.label}, ${percent(best.score)}`,
};

export const imageFeatures = {
  verb: "Compute the vector",
  form: imagePicker,
  call,
  render: ([vector]) => h("div", null,
    h("p.verdict.small", null, `${vector.length} numbers`),
    h("p.reading", null, vector.slice(0, 12).map((value) => value.toFixed(3)).join(", "), vector.length > 12 && ", …")),
  summarise: ([vector]) => `${vector.length} numbers`,
};

export const objectDetection = {
  verb: "Detect objects",
  form: imagePicker,
  settings: (model) => [
    { name: "threshold", label: "Minimum score", kind: "number", min: 0, max: 1, step: 0.05, placeholder: String(model.head?.threshold ?? "") },
    { name: "iou", label: "Maximum overlap", kind: "number", min: 0, max: 1, step: 0.05, placeholder: String(model.head?.iou ?? ""), hint: "Of two boxes with the same label that overlap more (IoU), only the one with the higher score is returned." },
  ],
  call,
  render: async (detections, file, model) => {
    const image = h("img", { src: URL.createObjectURL(file), alt: `Image ${file.name}, with ${countLabels(detections)}` });
    const isShown = await image.decode().then(() => true, () => false);
    const { naturalWidth: width, naturalHeight: height } = image;
    const colour = ({ label }) => hue((model.labels ?? []).indexOf(label));
    const boxes = detections.map((detection) => {
      const { xmin, ymin, xmax, ymax } = detection.box;
      return position(
        h(`div.box.${colour(detection)}`, null, h("span", null, `${detection.label} ${(100 * detection.score).toFixed(0)} %`)),
        { left: xmin / width, top: ymin / height, width: (xmax - xmin) / width, height: (ymax - ymin) / height },
      );
    });
    const rows = detections.map((detection, index) => {
      const highlight = (isLit) => () => boxes[index].classList.toggle("lit", isLit);
      return h("li", { onmouseenter: highlight(true), onmouseleave: highlight(false) },
        h("button.row", { type: "button", onfocus: highlight(true), onblur: highlight(false) }, h(`span.dot.${colour(detection)}`), detection.label, h("span.score", null, percent(detection.score))));
    });
    const stage = isShown
      ? h("div.stage", null, image, h("div.boxes", { "aria-hidden": "true" }, boxes))
      : h("p.placeholder", null, "This browser cannot show this picture; its objects are listed below.");
    if (isShown) new ResizeObserver(() => separateLabels(stage, boxes)).observe(stage);
    return h("div", null,
      stage,
      h("p.verdict.small", null, countLabels(detections)),
      !detections.length && h("p.hint", null, `No object reaches the minimum score${model.head?.threshold ? `, by default ${model.head.threshold}` : ""}. Lower it in the settings to see weaker ones.`),
      h("ol.rows", { "aria-label": "Objects" }, rows));
  },
  summarise: (detections) => countLabels(detections),
};

/** The number of detections of each label, such as "7 RBC, 2 Platelets". */
function countLabels(detections) {
  const counts = new Map();
  for (const { label } of detections) counts.set(label, (counts.get(label) ?? 0) + 1);
  return [...counts].sort((a, b) => b[1] - a[1]).map(([label, count]) => `${count} ${label}`).join(", ") || "no objects";
}

/** Moves labels of boxes so that none covers another: below its box's top edge, inside at the bottom, else hidden. */
function separateLabels(stage, boxes) {
  const { clientWidth: width, clientHeight: height } = stage;
  const taken = [];
  const free = (place) => place.left >= 0 && place.right <= width && place.top >= 0 && place.bottom <= height && taken.every((other) =>
    place.right <= other.left || place.left >= other.right || place.bottom <= other.top || place.top >= other.bottom);
  for (const box of boxes) {
    const label = box.firstChild;
    label.hidden = false;
    const [w, h] = [label.offsetWidth + 1, label.offsetHeight + 1]; // offsets are rounded
    const { offsetLeft: x, offsetTop: y, offsetWidth: boxWidth, offsetHeight: boxHeight } = box;
    const places = [[0, 0], [boxWidth - w, 0], [0, boxHeight - h], [boxWidth - w, boxHeight - h], [0, -h], [0, boxHeight]];
    const place = places.map(([dx, dy]) => ({ dx, dy, left: x + dx, right: x + dx + w, top: y + dy, bottom: y + dy + h })).find(free);
    label.hidden = !place;
    if (!place) continue;
    taken.push(place);
    label.style.left = `${place.dx - 2}px`;
    label.style.top = `${place.dy - 2}px`;
  }
}
