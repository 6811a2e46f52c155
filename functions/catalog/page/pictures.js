import { h, hue, percent, put } from "./dom.js";
import { filePicker, shrunk } from "./files.js";
import { scored } from "./text.js";

const chosen = () => filePicker({
  accept: "image/*",
  words: "or drop or paste one here",
  preview: (file, url) => h("img", { src: url, alt: `The picture ${file.name}` }),
  prepare: shrunk,
});

const asked = (file, query) => ({ file, name: file?.name ?? "photo.jpg", query });

export const picture = {
  form: chosen,
  settings: () => [{ name: "top_k", label: "Labels", kind: "number", min: 1, max: 100, placeholder: "5" }],
  call: asked,
  show: (scores) => scored(scores),
  say: ([best]) => `${best.label}, ${percent(best.score)}`,
};

export const detection = {
  verb: "Find objects",
  form: chosen,
  settings: (model) => [
    { name: "threshold", label: "Least score", kind: "number", min: 0, max: 1, step: 0.05, placeholder: String(model.head?.threshold ?? "") },
    { name: "iou", label: "Overlap allowed", kind: "number", min: 0, max: 1, step: 0.05, placeholder: String(model.head?.iou ?? ""), hint: "Of two boxes of a label that overlap more, the weaker one goes." },
  ],
  call: asked,
  show: async (found, file, model) => {
    const image = h("img", { src: URL.createObjectURL(file), alt: `The picture ${file.name}, with ${counted(found)}` });
    await image.decode();
    const { naturalWidth: width, naturalHeight: height } = image;
    const colour = ({ label }) => hue((model.labels ?? []).indexOf(label));
    const boxes = found.map((each) => put(
      h(`div.box.${colour(each)}`, null, h("span", null, each.label)),
      { left: each.box.xmin / width, top: each.box.ymin / height, width: (each.box.xmax - each.box.xmin) / width, height: (each.box.ymax - each.box.ymin) / height },
    ));
    const rows = found.map((each, index) => {
      const light = (on) => () => boxes[index].classList.toggle("lit", on);
      return h("li", { onmouseenter: light(true), onmouseleave: light(false) },
        h("button.row", { type: "button", onfocus: light(true), onblur: light(false) }, h(`span.dot.${colour(each)}`), each.label, h("span.score", null, percent(each.score))));
    });
    return h("div", null,
      h("div.stage", null, image, h("div.boxes", { "aria-hidden": "true" }, boxes)),
      h("p.verdict.small", null, counted(found)),
      h("ol.rows", { "aria-label": "Objects" }, rows));
  },
  say: (found) => counted(found),
};

/** "7 RBC, 2 Platelets" */
export function counted(found) {
  const counts = new Map();
  for (const { label } of found) counts.set(label, (counts.get(label) ?? 0) + 1);
  return [...counts].sort((a, b) => b[1] - a[1]).map(([label, count]) => `${count} ${label}`).join(", ") || "nothing found";
}
