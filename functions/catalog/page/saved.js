/** JSON values in the browser: `session` ends with the tab, `local` stays. Without storage, nothing is kept. */
function storage(area) {
  return {
    get(name) {
      try {
        return JSON.parse(window[area].getItem(name) ?? "null");
      } catch {
        return null;
      }
    },
    /** Whether the value was stored: storage may be full or forbidden. */
    set(name, value) {
      try {
        if (value === null) window[area].removeItem(name);
        else window[area].setItem(name, JSON.stringify(value));
        return true;
      } catch {
        return false;
      }
    },
  };
}

export const session = storage("sessionStorage");
export const local = storage("localStorage");

/** What was typed on the page of a model, so that Back and a reload keep it: {input, settings}. */
export const drafts = {
  get: (model, task) => session.get(`hearth-draft ${model} ${task}`),
  set: (model, task, draft) => session.set(`hearth-draft ${model} ${task}`, draft),
};

const DATABASE = "hearth";
const FILES = "files";

function transaction(mode, act) {
  return new Promise((resolve, reject) => {
    const opening = indexedDB.open(DATABASE, 1);
    opening.addEventListener("upgradeneeded", () => opening.result.createObjectStore(FILES));
    opening.addEventListener("error", () => reject(opening.error));
    opening.addEventListener("success", () => {
      try {
        const running = opening.result.transaction(FILES, mode);
        const request = act(running.objectStore(FILES));
        running.addEventListener("complete", () => { opening.result.close(); resolve(request.result); });
        running.addEventListener("abort", () => { opening.result.close(); reject(running.error); });
      } catch (error) { // such as a file that cannot be cloned
        opening.result.close();
        reject(error);
      }
    });
  });
}

/** Files by key, so that an upload continues after a reload. A browser that keeps none returns null. */
export const files = {
  get: (key) => transaction("readonly", (store) => store.get(key)).then((file) => file ?? null, () => null),
  set: (key, file) => transaction("readwrite", (store) => store.put(file, key)).catch(() => null),
  delete: (key) => transaction("readwrite", (store) => store.delete(key)).catch(() => null),
};
