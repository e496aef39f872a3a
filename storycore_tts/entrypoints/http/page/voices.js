// The built-in and stored voices of a backend, as radio buttons.
import { api } from "./api.js";
import { announce, byId, el, icon } from "./dom.js";
import { guarded, note, showProblem } from "./notices.js";
import { previewButton } from "./preview.js";
import { backendNamed } from "./status.js";

const KINDS = { clone: "cloned from a recording", checkpoint: "fine-tuned model" };

let listed = [];
let asked = 0;

/** The selected voice; null for the default voice of the service. */
export function chosenVoice() {
  const radio = byId("voices").querySelector("input:checked");
  return radio ? listed.find((voice) => voice.name === radio.value) : null;
}

/** Make only the preview button of the selected voice a tab stop. */
export function showStops() {
  for (const button of byId("voices").querySelectorAll(".preview"))
    button.tabIndex = button.closest(".voice").querySelector(":checked") ? 0 : -1;
}

/** Whether the voices of the selected backend could not be loaded. */
export const voicesAreMissing = () => byId("voices").querySelector(".failed") !== null;

/** List the voices of a backend. Keeps the selection, unless `choose` names another voice. */
export async function showVoices(backend, { choose } = {}) {
  const turn = ++asked;
  let found;
  try {
    found = await api.speakers(backend);
  } catch (error) {
    if (turn !== asked) return;
    listed = [];
    // Shown in place of the voices; an unreachable service is reported for the whole page.
    byId("voices").replaceChildren(missing(backend, error));
    if (error.status) announce(`The voices could not be loaded: ${error.detail}`);
    else showProblem(error, "jobs");
    return;
  }
  if (turn !== asked) return; // another backend was selected meanwhile
  const wanted = choose ?? chosenVoice()?.name;
  listed = found.speakers;
  const names = listed.map((voice) => voice.name);
  const named = (name) => names.find((one) => sameName(one) === sameName(name ?? ""));
  const chosen = named(wanted) ?? named(found.default) ?? names[0];
  const able = backendNamed(backend)?.capabilities;
  const groups = [
    ["Your voices", listed.filter((voice) => voice.kind !== "built-in")],
    ["Built-in voices", listed.filter((voice) => voice.kind === "built-in")],
  ];
  byId("voices").replaceChildren(
    ...groups
      .filter(([, voices]) => voices.length)
      .map(([title, voices]) => group(title, voices, { chosen, able })),
  );
  byId("voices").dispatchEvent(new Event("change", { bubbles: true }));
}

const sameName = (name) => name.toLowerCase().replaceAll(" ", "_");

function missing(backend, { detail, hint }) {
  return el(
    "div",
    { className: "trouble failed" },
    el("p", {}, el("strong", { textContent: "The voices could not be loaded." }), ` ${detail}`),
    hint ? el("p", { className: "what-to-do", textContent: hint }) : "",
    el("button", {
      type: "button",
      className: "small",
      textContent: "Try again",
      onclick: () => showVoices(backend),
    }),
  );
}

function group(title, voices, how) {
  return el(
    "fieldset",
    {},
    el("legend", { textContent: title }),
    el("div", { className: "cards" }, ...voices.map((voice) => card(voice, how))),
  );
}

const NEEDS = { clone: "cloning", checkpoint: "checkpoints" };

function card(voice, { chosen, able }) {
  const unable = able?.[NEEDS[voice.kind]] === false;
  const words = [voice.description || KINDS[voice.kind], unable && "not supported by this backend"]
    .filter(Boolean)
    .join("; ");
  const radio = el("input", {
    type: "radio",
    name: "speaker",
    value: voice.name,
    checked: voice.name === chosen,
    disabled: unable,
  });
  const label = el(
    "label",
    {},
    radio,
    el("span", { className: "name", textContent: voice.name.replaceAll("_", " ") }),
    voice.language ? el("span", { className: "tag", textContent: voice.language }) : "",
    words ? el("span", { className: "hint", textContent: words }) : "",
  );
  const buttons = [unable || previewButton(voice), voice.kind === "built-in" || remover(voice)];
  return el(
    "div",
    { className: "voice" },
    label,
    el("div", { className: "actions" }, ...buttons.filter((button) => button !== true)),
  );
}

function remover({ name }) {
  return el(
    "button",
    {
      type: "button",
      className: "quiet",
      title: "Delete",
      "aria-label": `Delete the voice ${name}`,
      onclick: () => guarded(() => remove(name)),
    },
    icon("delete"),
  );
}

async function remove(name) {
  if (!(await agreed(name))) return;
  await api.deleteVoice(name);
  note(`The voice ${name} was deleted.`);
  await showVoices(byId("backend").value);
}

function agreed(name) {
  const dialog = byId("delete-dialog");
  byId("delete-title").textContent = `Delete the voice ${name}?`;
  dialog.returnValue = "";
  dialog.showModal();
  return new Promise((answered) => {
    dialog.addEventListener("close", () => answered(dialog.returnValue === "delete"), {
      once: true,
    });
  });
}
