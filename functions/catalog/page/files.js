import { h, show } from "./dom.js";
import { size } from "./figures.js";

/** Images of more bytes are resized; the service accepts slightly larger bodies (HEARTH_MAX_BODY_MB). */
const MAX_IMAGE_BYTES = 4_000_000;

/**
 * A field for a file that is chosen, dropped or pasted, shown by `preview(file, url)`. `prepare(file)` may convert it to
 * a format that the service reads. `extra(take)` adds another source of files: {node, dispose}. The value is a File or null.
 */
export function filePicker({ accept, hint, preview, prepare = (file) => file, extra }) {
  let file = null;
  let isDisposed = false;
  let choices = 0; // a slower file, such as an example that is still being loaded, must not replace what was chosen later
  const input = h("input", { type: "file", accept, className: "visually-hidden" });
  input.id = "file";
  const view = h("div.preview");
  const note = h("p.hint", { role: "status" });
  const source = extra?.((chosen) => take(chosen));
  const zone = h("div.drop", null, view,
    h("p", null, h("label.button", { htmlFor: input.id }, "Choose a file"), input, h("span.muted", null, hint)), source?.node, note);

  /**
   * Shows a file, or one that is being loaded, unless another is chosen in the meantime; returns whether it did. Until the
   * file is read there is none, so that the one before it is not sent in its place.
   */
  async function take(loading) {
    const choice = ++choices;
    note.textContent = "Reading the file…";
    file = null;
    show(view);
    let chosen;
    let prepared;
    try {
      chosen = await loading;
      prepared = await prepare(chosen);
    } catch (error) {
      if (choice === choices) note.textContent = error.message;
      return false;
    }
    if (choice !== choices || isDisposed) return false;
    file = prepared;
    note.textContent = file === chosen ? "" : `Sent as ${file.name}, ${size(file.size)}.`;
    const shown = preview(file, URL.createObjectURL(file));
    shown.addEventListener("error", () => {
      if (shown.parentNode !== view) return; // another file was chosen
      URL.revokeObjectURL(shown.src);
      shown.replaceWith(h("p.hint", null, `${file.name}, ${size(file.size)}`));
      note.textContent = cannotShow(file, accept);
    });
    view.replaceChildren(shown);
    zone.dispatchEvent(new Event("change", { bubbles: true }));
    return true;
  }

  input.addEventListener("change", (event) => {
    event.stopPropagation(); // take() sends a change event when the file is ready
    if (input.files[0]) take(input.files[0]);
    input.value = "";
  });
  for (const type of ["dragenter", "dragover"])
    zone.addEventListener(type, (event) => { event.preventDefault(); zone.classList.add("over"); });
  for (const type of ["dragleave", "drop"]) zone.addEventListener(type, () => zone.classList.remove("over"));
  zone.addEventListener("drop", (event) => {
    event.preventDefault();
    if (event.dataTransfer.files[0]) take(event.dataTransfer.files[0]);
  });
  const paste = (event) => {
    const pasted = [...(event.clipboardData?.files ?? [])].find((candidate) => accept.split(",").some((type) => candidate.type.startsWith(type.replace("*", ""))));
    if (pasted) take(pasted);
  };
  addEventListener("paste", paste);

  return {
    node: zone,
    value: () => file,
    accept,
    prepare,
    fill: async (example) => Boolean(example) && take(fetchExample(example.file, example.type)),
    isTouched: () => choices > 0,
    set: take,
    dispose: () => { isDisposed = true; removeEventListener("paste", paste); source?.dispose(); },
  };
}

/** Why a browser cannot show a file: it may have no bytes, be of another kind, damaged, or of a format of others. */
function cannotShow(file, accept) {
  const kind = accept.split("/")[0];
  if (!file.size) return "This file is empty.";
  if (file.type && !file.type.startsWith(`${kind}/`)) return `This is ${file.type}, not ${{ image: "a picture", video: "a video", audio: "a recording" }[kind] ?? "such a file"}.`;
  return "This browser cannot show the file: it is damaged, or of a format that only the service may read.";
}

async function fetchExample(name, type) {
  const response = await fetch(new URL(name, import.meta.url)).catch(() => null);
  if (!response?.ok) throw new Error("The example could not be loaded; reload the page.");
  return new File([await response.blob()], name, { type });
}

/** Resizes an image that is too large for the service; models use far fewer pixels. */
export async function shrink(file) {
  if (file.size <= MAX_IMAGE_BYTES) return file;
  const image = await createImageBitmap(file).catch(() => null);
  if (!image) return file; // the service may read what this browser cannot
  const scale = Math.min(1, 1600 / Math.max(image.width, image.height));
  const canvas = h("canvas", { width: Math.round(image.width * scale), height: Math.round(image.height * scale) });
  canvas.getContext("2d").drawImage(image, 0, 0, canvas.width, canvas.height);
  const blob = await new Promise((resolve) => canvas.toBlob(resolve, "image/jpeg", 0.9));
  return new File([blob], file.name.replace(/\.\w+$/, "") + ".jpg", { type: "image/jpeg" });
}

/** A URL of base64 data for an image or video element. */
export function objectUrl(base64, type) {
  const bytes = Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
  return URL.createObjectURL(new Blob([bytes], { type }));
}
