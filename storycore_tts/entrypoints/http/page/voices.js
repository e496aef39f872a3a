// The voices of a backend, as radio buttons: the built-in ones, and those that were kept.
import { api } from "./api.js";
import { announce, byId, el, icon } from "./dom.js";
import { guarded, note, showProblem } from "./notices.js";
import { backendNamed } from "./status.js";

const KINDS = { clone: "cloned from a recording", checkpoint: "fine-tuned" };

let listed = [];
let asked = 0;

/** The voice that is chosen; null for the service's usual one. */
export function chosenVoice() {
  const radio = byId("voices").querySelector("input:checked");
  return radio ? listed.find((voice) => voice.name === radio.value) : null;
}

/** Whether those of the chosen backend could not be listed. */
export const voicesAreMissing = () => byId("voices").querySelector(".failed") !== null;

/** List the voices of a backend. Keeps what is chosen by then, unless another one shall be. */
export async function showVoices(backend, { choose } = {}) {
  const turn = ++asked;
  let found;
  try {
    found = await api.speakers(backend);
  } catch (error) {
    if (turn !== asked) return;
    listed = [];
    // Where the voices would be; only who is not there at all is everybody's concern.
    byId("voices").replaceChildren(missing(backend, error));
    if (error.status) announce(`The voices could not be listed: ${error.detail}`);
    else showProblem(error, "jobs");
    return;
  }
  if (turn !== asked) return; // another backend was chosen meanwhile
  const wanted = choose ?? chosenVoice()?.name;
  listed = found.speakers;
  const names = listed.map((voice) => voice.name);
  const chosen = [wanted, found.default].find((name) => names.includes(name)) ?? names[0];
  const clones = backendNamed(backend)?.capabilities?.cloning ?? true;
  const groups = [
    ["Yours", listed.filter((voice) => voice.kind !== "built-in")],
    ["Built in", listed.filter((voice) => voice.kind === "built-in")],
  ];
  byId("voices").replaceChildren(
    ...groups
      .filter(([, voices]) => voices.length)
      .map(([title, voices]) => group(title, voices, { chosen, clones })),
  );
  byId("voices").dispatchEvent(new Event("change", { bubbles: true }));
}

function missing(backend, { detail, hint }) {
  return el(
    "div",
    { className: "trouble failed" },
    el("p", {}, el("strong", { textContent: "The voices could not be listed." }), ` ${detail}`),
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

function card(voice, { chosen, clones }) {
  const unable = voice.kind === "clone" && !clones;
  const words = [voice.description || KINDS[voice.kind], unable && "this backend cannot clone"]
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
  return el("div", { className: "voice" }, label, voice.kind === "built-in" ? "" : remover(voice));
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
