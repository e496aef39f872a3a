// The API key: requested when the service requires one, and stored in this tab only.
import { byId } from "./dom.js";
import { forgetAll } from "./draft.js";

const PLACE = "storycore-tts-key";
let asking = null;

export const key = {
  get value() {
    return sessionStorage.getItem(PLACE);
  },
  set value(text) {
    sessionStorage.setItem(PLACE, text);
    showButton();
  },
  forget() {
    sessionStorage.removeItem(PLACE);
    forgetAll();
    showButton();
  },
};

/** Ask the user for the key; concurrent requests share one dialog. True if a key was entered. */
export function askForKey(refused) {
  asking ??= ask(refused).finally(() => (asking = null));
  return asking;
}

function ask(refused) {
  const dialog = byId("key-dialog");
  const input = byId("key-value");
  byId("key-reason").textContent = refused
    ? "The service rejected the API key. Enter another one."
    : "This service requires an API key.";
  input.value = "";
  dialog.returnValue = "";
  dialog.showModal();
  return new Promise((answered) => {
    dialog.addEventListener(
      "close",
      () => {
        const given = dialog.returnValue === "given" ? input.value.trim() : "";
        input.value = "";
        if (given) key.value = given;
        showButton();
        answered(Boolean(given));
      },
      { once: true },
    );
  });
}

function showButton() {
  const button = byId("key");
  button.hidden = false;
  button.querySelector("span").textContent = key.value ? "Forget key" : "Enter key";
}

/** Set up the dialog and the button; `changed` is called when a key was entered or removed. */
export function startKeys(changed) {
  const dialog = byId("key-dialog");
  dialog.querySelector("form").addEventListener("submit", (event) => {
    event.preventDefault();
    dialog.close("given");
  });
  byId("key-cancel").addEventListener("click", () => dialog.close(""));
  byId("key").addEventListener("click", async () => {
    if (key.value) key.forget();
    else await askForKey(false);
    changed();
  });
  if (key.value) showButton();
}
