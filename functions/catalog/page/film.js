import { h, hue, put } from "./dom.js";
import { filePicker, shown } from "./files.js";

export const film = {
  verb: "Track objects",
  form: () => filePicker({
    accept: "video/mp4",
    words: "an mp4, or drop one here",
    preview: (file, url) => h("video", { src: url, muted: true, controls: true, playsInline: true, "aria-label": `The film ${file.name}` }),
  }),
  settings: () => [
    { name: "every", label: "Look at every … frames", kind: "number", min: 1, max: 30, value: 3 },
    { name: "threshold", label: "Least score to begin a track", kind: "number", min: 0, max: 1, step: 0.05, placeholder: "the tracker’s own" },
    { name: "contact_sheet", label: "Contact sheet", kind: "check", hint: "A dozen frames as one picture, tracks drawn in." },
    { name: "annotate", label: "Annotated film", kind: "check", hint: "The film again, tracks drawn in." },
  ],
  call: (file, query) => ({ file, name: file?.name ?? "film.mp4", query }),
  show: (answer, file) => {
    const colour = (track) => hue(track.id - 1);
    const { tracks, frames, rate, width, height } = answer;
    const video = h("video", { src: URL.createObjectURL(file), muted: true, controls: true, loop: true, autoplay: true, playsInline: true, "aria-label": `The film ${file.name} with ${tracks.length} tracks` });
    const boxes = tracks.map((track) => h(`div.box.${colour(track)}`, { hidden: true }, h("span", null, `${track.id} ${track.label}`)));
    const stage = h("div.stage", null, video, h("div.boxes", { "aria-hidden": "true" }, boxes));
    video.addEventListener("error", () => stage.replaceChildren(h("p.placeholder", null, "This browser cannot show this film; its tracks are below.")));
    follow(video, rate, (frame) => tracks.forEach((track, index) => {
      const box = at(track.sightings, frame);
      boxes[index].hidden = !box;
      if (box) put(boxes[index], { left: box.xmin / width, top: box.ymin / height, width: (box.xmax - box.xmin) / width, height: (box.ymax - box.ymin) / height });
    }));
    const rows = tracks.map((track) => {
      const [first, last] = [track.sightings[0].frame, track.sightings.at(-1).frame];
      const lane = h("span.lane", { "aria-hidden": "true" }, put(h("span"), { left: (first - 1) / frames, width: (last - first + 1) / frames }));
      return h("li", null, h(`button.row.${colour(track)}`, { type: "button", onclick: () => { video.pause(); video.currentTime = (first - 0.5) / rate; } },
        h(`span.dot.${colour(track)}`), h("span.who", null, `${track.id} ${track.label}`), lane, h("span.score", null, `frames ${first}–${last}`)));
    });
    return h("div", null, stage,
      !answer.complete && h("p.hint", null, `Only a part could be read: ${answer.reason}`),
      h("p.verdict.small", null, film.say(answer)),
      h("ol.rows", { "aria-label": "Tracks; choose one to go to its first frame" }, rows),
      answer.sheet && h("figure", null, h("img", { src: shown(answer.sheet, "image/jpeg"), alt: "A dozen frames with the tracks drawn in" }), h("figcaption", null, "Contact sheet")),
      answer.video && h("figure", null, h("video", { src: shown(answer.video, "video/mp4"), controls: true, muted: true, playsInline: true, "aria-label": "The film with the tracks drawn in" }), h("figcaption", null, "Annotated film")));
  },
  say: ({ tracks, frames, rate }) => `${tracks.length} tracks in ${frames} frames, ${rate.toFixed(rate % 1 ? 1 : 0)} a second`,
};

/** Where a track's box is at a frame: as it was seen, or between two sightings on the straight line. Else null. */
function at(sightings, frame) {
  const next = sightings.findIndex((sighting) => sighting.frame >= frame);
  if (next === -1) {
    const last = sightings.at(-1);
    const pace = sightings.length > 1 ? last.frame - sightings.at(-2).frame : 1;
    return frame < last.frame + pace ? last.box : null;
  }
  if (next === 0) return sightings[0].frame === frame ? sightings[0].box : null;
  const [from, to] = [sightings[next - 1], sightings[next]];
  const share = (frame - from.frame) / (to.frame - from.frame);
  return Object.fromEntries(Object.entries(from.box).map(([side, value]) => [side, value + share * (to.box[side] - value)]));
}

/** Calls `draw` with the number of each frame, from 1, that the video shows, as long as it is on the page. */
function follow(video, rate, draw) {
  const frame = (seconds) => draw(Math.floor(seconds * rate + 0.01) + 1);
  if (video.requestVideoFrameCallback) {
    const step = (now, { mediaTime }) => { frame(mediaTime); video.requestVideoFrameCallback(step); };
    video.requestVideoFrameCallback(step);
  } else {
    for (const moment of ["timeupdate", "seeked", "loadeddata"]) video.addEventListener(moment, () => frame(video.currentTime));
  }
}
