import { h, percent } from "./dom.js";
import { call, imagePicker } from "./pictures.js";

export const imageSegmentation = {
  verb: "Segment",
  form: imagePicker,
  call: (file, query) => call(file, { ...query, annotate: true }),
  render: ({ segments, picture }, file) => h("div", null,
    h("div.stage", null, h("img", { src: `data:image/jpeg;base64,${picture}`, alt: `Image ${file.name}, with ${segments.length} segments in colour` })),
    h("ol.rows", { "aria-label": "Segments" }, byShare(segments).map(({ label, share }) => h("li.row", null, label, h("span.score", null, percent(share)))))),
  summarise: ({ segments }) => byShare(segments).slice(0, 3).map(({ label, share }) => `${label} ${percent(share)}`).join(", "),
};

const byShare = (segments) => [...segments].sort((a, b) => b.share - a.share);
