import { h, position } from "./dom.js";
import { filePicker } from "./files.js";
import { decodeAudio, toWav, waveform } from "./sound.js";

/** Types that the service reads. */
const SUPPORTED_TYPES = /^audio\/(x-|vnd\.)?(wav|wave|flac|ogg|mpeg|mp3)/;

export const speechRecognition = {
  verb: "Transcribe",
  form: () => filePicker({
    accept: "audio/*",
    hint: "or drop one here",
    preview: (file, url) => h("audio", { controls: true, src: url, "aria-label": `Audio file ${file.name}` }),
    prepare: async (file) => (SUPPORTED_TYPES.test(file.type) ? file : toWav(file)),
    extra: microphone,
  }),
  settings: (model) => (model.head?.kind === "whisper"
    ? [
      { name: "return_timestamps", label: "Sentence timestamps", kind: "check", value: true },
      { name: "language", label: "Language", kind: "text", placeholder: "recognised" },
      { name: "task", label: "Task", kind: "select", value: "", options: [["", "transcribe (default)"], ["translate", "translate into English"]] },
    ]
    : [
      { name: "return_timestamps", label: "Word timestamps", kind: "check", value: true, as: "word" },
      { name: "num_beams", label: "Beams", kind: "number", min: 1, max: 64, hint: "1: greedy decoding." },
    ]),
  call: (file, query) => ({ file, name: file?.name ?? "speech.wav", query }),
  render: async ({ text, chunks }, file) => h("div", null, h("p.verdict.long", null, text || "No speech was recognised."),
    chunks?.length > 0 && (await player(file, chunks).catch(() => h("p.hint", null, "This browser cannot play the file; the times of its words are in the JSON below.")))),
  summarise: ({ text }) => text || "No speech was recognised.",
};

/** A button that records until it is pressed again or the page is left. Browsers allow the microphone only on secure pages. */
function microphone(take) {
  if (!navigator.mediaDevices?.getUserMedia) return null;
  let recorder = null;
  let isAsking = false;
  let isDisposed = false;
  const note = h("span.muted", { role: "status" });
  const button = h("button.record", { type: "button", "aria-pressed": "false" }, "Record");
  button.addEventListener("click", async () => {
    if (recorder) return recorder.stop();
    if (isAsking) return;
    isAsking = true;
    try {
      const stream = await navigator.mediaDevices.getUserMedia({ audio: true });
      const close = () => { for (const track of stream.getTracks()) track.stop(); };
      if (isDisposed) return close();
      const chunks = [];
      recorder = new MediaRecorder(stream);
      const started = Date.now();
      const clock = setInterval(() => (button.textContent = `Stop, ${Math.floor((Date.now() - started) / 1000)} s`), 250);
      recorder.addEventListener("dataavailable", ({ data }) => chunks.push(data));
      recorder.addEventListener("stop", () => {
        clearInterval(clock);
        close();
        const { mimeType } = recorder;
        recorder = null;
        button.textContent = "Record";
        button.setAttribute("aria-pressed", "false");
        take(new File(chunks, "recording", { type: mimeType }));
      });
      recorder.start();
      button.textContent = "Stop";
      button.setAttribute("aria-pressed", "true");
      note.textContent = "";
    } catch {
      note.textContent = "The microphone is not available. Allow it in the browser, or choose a file.";
    } finally {
      isAsking = false;
    }
  });
  return { node: h("p", null, button, " ", note), dispose: () => { isDisposed = true; recorder?.stop(); } };
}

/** The waveform with the recognised words; a click on a word plays it. */
async function player(file, chunks) {
  const { samples, seconds } = await decodeAudio(file);
  const audio = h("audio", { src: URL.createObjectURL(file), preload: "auto" });
  const spans = chunks.map(({ timestamp: [begin, end] }) => position(h("span"), { left: begin / seconds, width: (end - begin) / seconds }));
  const words = chunks.map(({ text, timestamp: [begin, end] }) =>
    h("button.word", { type: "button", onclick: () => { until = end; audio.currentTime = begin; audio.play(); } }, text, h("small", null, `${begin.toFixed(2)}–${end.toFixed(2)} s`)));
  const playAll = h("button", { type: "button", onclick: () => { until = Infinity; audio.currentTime = 0; audio.play(); } }, "Play");
  let until = Infinity;
  audio.addEventListener("timeupdate", () => {
    const now = audio.currentTime;
    if (now > until + 0.1) audio.pause();
    chunks.forEach(({ timestamp: [begin, end] }, index) => {
      const isPlaying = !audio.paused && now >= begin - 0.05 && now <= end + 0.05;
      words[index].classList.toggle("lit", isPlaying);
      spans[index].classList.toggle("lit", isPlaying);
    });
  });
  return h("div", null, h("div.wave", { "aria-hidden": "true" }, waveform(samples), spans), h("div.words", { role: "group", "aria-label": "Words; choose one to hear it" }, playAll, words), audio);
}
