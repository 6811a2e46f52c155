import { h, hue, position } from "./dom.js";
import { filePicker, objectUrl } from "./files.js";

export const objectTracking = {
  verb: "Track objects",
  form: () => filePicker({
    accept: "video/mp4",
    hint: "an mp4, or drop one here",
    preview: (file, url) => h("video", { src: url, muted: true, controls: true, playsInline: true, "aria-label": `Video ${file.name}` }),
  }),
  settings: () => [
    { name: "every", label: "Analyse every n-th frame", kind: "number", min: 1, max: 30, value: 3 },
    { name: "threshold", label: "Minimum score to start a track", kind: "number", min: 0, max: 1, step: 0.05, placeholder: "tracker default" },
    { name: "contact_sheet", label: "Contact sheet", kind: "check", hint: "Twelve frames in one image, with the tracks." },
    { name: "annotate", label: "Annotated video", kind: "check", hint: "The video with the tracks drawn in." },
  ],
  call: (file, query) => ({ file, name: file?.name ?? "film.mp4", query }),
  render: (output, file) => {
    const colour = (track) => hue(track.id - 1);
    const { tracks, frames, rate, width, height } = output;
    const video = h("video", { src: URL.createObjectURL(file), muted: true, controls: true, loop: true, autoplay: true, playsInline: true, "aria-label": `Video ${file.name} with ${tracks.length} tracks` });
    const boxes = tracks.map((track) => h(`div.box.${colour(track)}`, { hidden: true }, h("span", null, `${track.id} ${track.label}`)));
    const stage = h("div.stage", null, video, h("div.boxes", { "aria-hidden": "true" }, boxes));
    video.addEventListener("error", () => stage.replaceChildren(h("p.placeholder", null, "This browser cannot play this video; its tracks are listed below.")));
    follow(video, rate, (frame) => tracks.forEach((track, index) => {
      const box = boxAt(track.sightings, frame);
      boxes[index].hidden = !box;
      if (box) position(boxes[index], { left: box.xmin / width, top: box.ymin / height, width: (box.xmax - box.xmin) / width, height: (box.ymax - box.ymin) / height });
    }));
    const rows = tracks.map((track) => {
      const [first, last] = [track.sightings[0].frame, track.sightings.at(-1).frame];
      const lane = h("span.lane", { "aria-hidden": "true" }, position(h("span"), { left: (first - 1) / frames, width: (last - first + 1) / frames }));
      return h("li", null, h(`button.row.${colour(track)}`, { type: "button", onclick: () => { video.pause(); video.currentTime = (first - 0.5) / rate; } },
        h(`span.dot.${colour(track)}`), h("span.who", null, `${track.id} ${track.label}`), lane, h("span.score", null, `frames ${first}–${last}`)));
    });
    return h("div", null, stage,
      !output.complete && h("p.hint", null, `Only a part of the video could be read: ${output.reason}`),
      h("p.verdict.small", null, objectTracking.summarise(output)),
      h("ol.rows", { "aria-label": "Tracks; choose one to go to its first frame" }, rows),
      output.sheet && h("figure", null, h("img", { src: objectUrl(output.sheet, "image/jpeg"), alt: "Twelve frames with the tracks drawn in" }), h("figcaption", null, "Contact sheet")),
      output.video && h("figure", null, h("video", { src: objectUrl(output.video, "video/mp4"), controls: true, muted: true, playsInline: true, "aria-label": "The video with the tracks drawn in" }), h("figcaption", null, "Annotated video")));
  },
  summarise: ({ tracks, frames, rate }) => `${tracks.length} tracks in ${frames} frames, ${rate.toFixed(rate % 1 ? 1 : 0)} per second`,
};

/** The box of a track at a frame: as detected, or interpolated linearly between two detections; else null. */
function boxAt(sightings, frame) {
  const next = sightings.findIndex((sighting) => sighting.frame >= frame);
  if (next === -1) {
    const last = sightings.at(-1);
    const step = sightings.length > 1 ? last.frame - sightings.at(-2).frame : 1;
    return frame < last.frame + step ? last.box : null;
  }
  if (next === 0) return sightings[0].frame === frame ? sightings[0].box : null;
  const [from, to] = [sightings[next - 1], sightings[next]];
  const fraction = (frame - from.frame) / (to.frame - from.frame);
  return Object.fromEntries(Object.entries(from.box).map(([side, value]) => [side, value + fraction * (to.box[side] - value)]));
}

/** Calls `draw` with the number, from 1, of each frame that the video shows. */
function follow(video, rate, draw) {
  const drawAt = (seconds) => draw(Math.floor(seconds * rate + 0.01) + 1);
  if (video.requestVideoFrameCallback) {
    const step = (now, { mediaTime }) => { drawAt(mediaTime); video.requestVideoFrameCallback(step); };
    video.requestVideoFrameCallback(step);
  } else {
    for (const type of ["timeupdate", "seeked", "loadeddata"]) video.addEventListener(type, () => drawAt(video.currentTime));
  }
}
