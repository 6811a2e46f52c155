import { h, hue, position, show } from "./dom.js";
import { filePicker, objectUrl } from "./files.js";

export const objectTracking = {
  verb: "Track objects",
  form: () => filePicker({
    accept: "video/*,.mkv,.avi,.ts",
    hint: "MP4, WebM, MKV, AVI or MPEG-TS; or drop one here",
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
    video.addEventListener("error", () => show(stage, h("p.placeholder", null, "This browser cannot play this video; its tracks are listed below.")));
    follow(video, (seconds) => tracks.forEach((track, index) => {
      const box = boxAt(track.sightings, seconds, 1 / rate);
      boxes[index].hidden = !box;
      if (box) position(boxes[index], { left: box.xmin / width, top: box.ymin / height, width: (box.xmax - box.xmin) / width, height: (box.ymax - box.ymin) / height });
    }));
    const rows = tracks.map((track) => {
      const [first, last] = [track.sightings[0], track.sightings.at(-1)];
      const duration = frames / rate;
      const lane = h("span.lane", { "aria-hidden": "true" }, position(h("span"), { left: first.time / duration, width: (last.time - first.time + 1 / rate) / duration }));
      return h("li", null, h(`button.row.${colour(track)}`, { type: "button", onclick: () => { video.pause(); video.currentTime = first.time + HALF_A_FRAME; } },
        h(`span.dot.${colour(track)}`), h("span.who", null, `${track.id} ${track.label}`), lane, h("span.score", null, `frames ${first.frame}–${last.frame}`)));
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

/** Seconds within every frame, however short: seeking to the very start of a frame may show the one before it. */
const HALF_A_FRAME = 0.004;

/** The box of a track at a time: as detected, or interpolated linearly between two detections; else null. The last box
 *  is shown for `interval` seconds. */
function boxAt(sightings, seconds, interval) {
  const next = sightings.findIndex((sighting) => sighting.time >= seconds - HALF_A_FRAME);
  if (next === -1) {
    const last = sightings.at(-1);
    const step = sightings.length > 1 ? last.time - sightings.at(-2).time : interval;
    return seconds < last.time + step ? last.box : null;
  }
  const to = sightings[next];
  if (next === 0) return to.time <= seconds + HALF_A_FRAME ? to.box : null;
  const from = sightings[next - 1];
  const fraction = Math.min((seconds - from.time) / (to.time - from.time), 1);
  return Object.fromEntries(Object.entries(from.box).map(([side, value]) => [side, value + fraction * (to.box[side] - value)]));
}

/** Calls `draw` with the time of each frame that the video shows, in seconds. */
function follow(video, draw) {
  if (video.requestVideoFrameCallback) {
    const step = (now, { mediaTime }) => { draw(mediaTime); video.requestVideoFrameCallback(step); };
    video.requestVideoFrameCallback(step);
  } else {
    for (const type of ["timeupdate", "seeked", "loadeddata"]) video.addEventListener(type, () => draw(video.currentTime));
  }
}
