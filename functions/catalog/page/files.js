import { h } from "./dom.js";

const MOST = 4_000_000;
/** Bytes; a service takes some more (HEARTH_MAX_BODY_MB). */

/**
 * A file to choose, to drop or to paste, with its `preview(file, url)`. `prepare(file)` may turn it into one that the
 * service reads. The value is a File, or null.
 */
export function filePicker({ accept, words, preview, prepare = (file) => file, more }) {
  let file = null;
  let url = "";
  const input = h("input", { type: "file", accept, className: "visually-hidden" });
  input.id = "file";
  const view = h("div.preview");
  const note = h("p.hint", { role: "status" });
  const zone = h("div.drop", null, view,
    h("p", null, h("label.button", { htmlFor: input.id }, "Choose a file"), input, h("span.muted", null, words)), more?.((chosen) => take(chosen)), note);

  async function take(chosen) {
    note.textContent = "";
    try {
      file = await prepare(chosen);
    } catch (error) {
      note.textContent = error.message;
      return;
    }
    if (file !== chosen) note.textContent = `Sent as ${file.name}, ${Math.round(file.size / 1000)} kB.`;
    URL.revokeObjectURL(url);
    url = URL.createObjectURL(file);
    view.replaceChildren(preview(file, url));
    zone.dispatchEvent(new Event("change", { bubbles: true }));
  }

  input.addEventListener("change", (event) => {
    event.stopPropagation(); // the change is told when the file is ready
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
    const pasted = [...(event.clipboardData?.files ?? [])].find((each) => accept.split(",").some((type) => each.type.startsWith(type.replace("*", ""))));
    if (pasted) take(pasted);
  };
  addEventListener("paste", paste);

  return {
    node: zone,
    value: () => file,
    fill: async (example) => { if (example) await take(await fetched(example.file, example.type)); },
    leave: () => { removeEventListener("paste", paste); URL.revokeObjectURL(url); },
  };
}

async function fetched(name, type) {
  const response = await fetch(new URL(name, import.meta.url));
  if (!response.ok) throw new Error("The example is not there; load the page anew.");
  return new File([await response.blob()], name, { type });
}

/** A picture that is too large is made smaller here: models look at far fewer pixels. */
export async function shrunk(file) {
  if (file.size <= MOST) return file;
  const picture = await createImageBitmap(file);
  const scale = Math.min(1, 1600 / Math.max(picture.width, picture.height));
  const canvas = h("canvas", { width: Math.round(picture.width * scale), height: Math.round(picture.height * scale) });
  canvas.getContext("2d").drawImage(picture, 0, 0, canvas.width, canvas.height);
  const blob = await new Promise((resolve) => canvas.toBlob(resolve, "image/jpeg", 0.9));
  return new File([blob], file.name.replace(/\.\w+$/, "") + ".jpg", { type: "image/jpeg" });
}

/** base64 as an address that an element can show. */
export function shown(base64, type) {
  const bytes = Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
  return URL.createObjectURL(new Blob([bytes], { type }));
}
