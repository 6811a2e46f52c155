import { h, put } from "./dom.js";
import { filePicker } from "./files.js";
import { decoded, asWav, wave } from "./sound.js";

const READ = /^audio\/(x-|vnd\.)?(wav|wave|flac|ogg|mpeg|mp3)/;

export const speech = {
  verb: "Transcribe",
  form: () => filePicker({
    accept: "audio/*",
    words: "or drop one here",
    preview: (file, url) => h("audio", { controls: true, src: url, "aria-label": `The sound ${file.name}` }),
    prepare: async (file) => (READ.test(file.type) ? file : asWav(file)),
    more: microphone,
  }),
  settings: () => [
    { name: "return_timestamps", label: "Times of the words", kind: "check", value: true, as: "word" },
    { name: "num_beams", label: "Beams", kind: "number", min: 1, max: 64, hint: "1: the likeliest letter each moment." },
  ],
  call: (file, query) => ({ file, name: file?.name ?? "speech.wav", query }),
  show: async ({ text, chunks }, file) => h("div", null, h("p.verdict.long", null, text || "Nothing was heard."), chunks?.length > 0 && (await player(file, chunks))),
  say: ({ text }) => text || "Nothing was heard.",
};

/** A button that records until it is pressed again. Browsers give the microphone to secure pages alone. */
function microphone(take) {
  if (!navigator.mediaDevices?.getUserMedia) return null;
  let recorder = null;
  const told = h("span.muted", { role: "status" });
  const button = h("button.record", { type: "button", "aria-pressed": "false" }, "Record");
  button.addEventListener("click", async () => {
    if (recorder) return recorder.stop();
    try {
      const stream = await navigator.mediaDevices.getUserMedia({ audio: true });
      const parts = [];
      recorder = new MediaRecorder(stream);
      const started = Date.now();
      const clock = setInterval(() => (button.textContent = `Stop, ${Math.floor((Date.now() - started) / 1000)} s`), 250);
      recorder.addEventListener("dataavailable", ({ data }) => parts.push(data));
      recorder.addEventListener("stop", () => {
        clearInterval(clock);
        for (const track of stream.getTracks()) track.stop();
        const { mimeType } = recorder;
        recorder = null;
        button.textContent = "Record";
        button.setAttribute("aria-pressed", "false");
        take(new File(parts, "recording", { type: mimeType }));
      });
      recorder.start();
      button.textContent = "Stop";
      button.setAttribute("aria-pressed", "true");
      told.textContent = "";
    } catch {
      told.textContent = "The microphone may not be used here; allow it in the browser, or choose a file.";
    }
  });
  return h("p", null, button, " ", told);
}

/** The sound's wave with its words where they are said; a word plays when it is chosen. */
async function player(file, chunks) {
  const { samples, seconds } = await decoded(file);
  const audio = h("audio", { src: URL.createObjectURL(file), preload: "auto" });
  const spans = chunks.map(({ timestamp: [begin, end] }) => put(h("span"), { left: begin / seconds, width: (end - begin) / seconds }));
  const words = chunks.map(({ text, timestamp: [begin, end] }) =>
    h("button.word", { type: "button", onclick: () => { until = end; audio.currentTime = begin; audio.play(); } }, text, h("small", null, `${begin.toFixed(2)}–${end.toFixed(2)} s`)));
  const all = h("button", { type: "button", onclick: () => { until = Infinity; audio.currentTime = 0; audio.play(); } }, "Play");
  let until = Infinity;
  audio.addEventListener("timeupdate", () => {
    const now = audio.currentTime;
    if (now > until + 0.1) audio.pause();
    chunks.forEach(({ timestamp: [begin, end] }, index) => {
      const lit = !audio.paused && now >= begin - 0.05 && now <= end + 0.05;
      words[index].classList.toggle("lit", lit);
      spans[index].classList.toggle("lit", lit);
    });
  });
  return h("div", null, h("div.wave", { "aria-hidden": "true" }, wave(samples), spans), h("div.words", { role: "group", "aria-label": "Words; choose one to hear it" }, all, words), audio);
}
