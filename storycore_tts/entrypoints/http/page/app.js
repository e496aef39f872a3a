// Entry point of the page: connects the form to the other modules.
import { api } from "./api.js";
import { cloneLine, startClone } from "./clone.js";
import { byId, el, setText } from "./dom.js";
import { askedFor, rememberAsked, rememberedForm, rememberForm } from "./draft.js";
import { startInspect } from "./inspect.js";
import { refreshJobs, startJobs } from "./jobs.js";
import { startKeys } from "./key.js";
import { dismiss, guarded, note, showProblem } from "./notices.js";
import { forgetSamples } from "./preview.js";
import { sending, stage, startStage } from "./stage.js";
import { backendNamed, backends, refreshStatus, startStatus } from "./status.js";
import { store } from "./store.js";
import { startTabs } from "./tabs.js";
import { startTheme } from "./theme-switch.js";
import { chosenVoice, showStops, showVoices, voicesAreMissing } from "./voices.js";

const composer = byId("composer");
const SAMPLING = composer.querySelectorAll("[data-parameter]");
const BACKENDS = {
  draft: "Fast, robotic voices for drafts.",
  direct: "The Qwen3-TTS model, run by this service.",
  comfyui: "The Qwen3-TTS model, run by a ComfyUI server.",
};
const cloning = () => byId("tab-clone").getAttribute("aria-selected") === "true";

/** The values of the form; empty fields are omitted, so that the service uses its defaults. */
function line() {
  const values = {};
  for (const field of composer.elements) {
    const left =
      !field.name ||
      field.disabled ||
      !field.value ||
      (["radio", "checkbox"].includes(field.type) && !field.checked);
    if (left || (cloning() && field.name === "speaker")) continue;
    if (field.type === "checkbox") values[field.name] = true;
    else if (["number", "range"].includes(field.type)) values[field.name] = field.valueAsNumber;
    else values[field.name] = field.value;
  }
  if (!cloning() && wanted.speaker) values.speaker ??= wanted.speaker; // not listed yet
  return values;
}

let wanted = {}; // selected as soon as the backends and voices are loaded

/** Fill the form; fields missing in `values` are reset to their defaults. */
function fill(values) {
  for (const field of composer.elements) {
    if (!field.name || field.type === "radio" || field.name === "backend") continue;
    if (field.type === "checkbox") field.checked = values[field.name] ?? false;
    else if (field.localName === "select") field.value = values[field.name] ?? field.options[0].value;
    else field.value = values[field.name] ?? field.defaultValue;
  }
  wanted = { backend: values.backend, speaker: values.speaker };
  showSpeed();
}

/** Restore the form for a job, as remembered by this tab or as reported by the service. */
function reuse(job) {
  const { text, speaker, backend, result, kind } = job;
  const told = { text, speaker, backend, language: result?.language };
  const values = askedFor(job.id) ?? told;
  const seed = Number.isSafeInteger(result?.seed) ? { seed: result.seed } : {};
  fill({ ...values, ...seed });
  if (seed.seed !== undefined) byId("advanced").open = true;
  chooseTab(byId(kind === "clone" && !values.speaker ? "tab-clone" : "tab-voices"));
  const { options } = byId("backend");
  if ([...options].some((option) => option.value === values.backend))
    byId("backend").value = values.backend;
  showVoices(byId("backend").value, { choose: values.speaker });
  rememberForm(line());
  byId("text").focus();
  note("The text and settings were restored.");
}

/** Validate the form; focus the first invalid field and throw. */
function check() {
  const text = byId("text");
  const empty = !/[\p{L}\p{N}]/u.test(text.value);
  text.setAttribute("aria-invalid", String(empty));
  if (empty) {
    text.focus();
    throw {
      title: "Nothing to speak",
      detail: "The text contains no letters or digits.",
      hint: "Enter at least one word.",
    };
  }
  for (const field of composer.elements) {
    if (!field.willValidate) continue;
    field.setAttribute("aria-invalid", String(!field.validity.valid));
    if (field.validity.valid) continue;
    field.closest("details")?.setAttribute("open", "");
    field.focus();
    throw {
      title: `${field.labels[0].textContent.trim()} is not valid`,
      detail: field.validationMessage,
      hint: "",
    };
  }
}

async function speak() {
  const button = byId("speak");
  if (button.getAttribute("aria-busy") === "true") return;
  button.setAttribute("aria-busy", "true");
  let undo = () => {};
  try {
    check();
    const values = line();
    if (!cloning()) undo = sending(values.text);
    const job = cloning()
      ? await cloneLine(values, () => (undo = sending(values.text)))
      : await api.generate(values);
    rememberAsked(job.id, values);
    stage(job);
    load();
  } catch (error) {
    undo();
    markFields(error.errors);
    throw error;
  } finally {
    button.removeAttribute("aria-busy");
  }
}

/** Mark the fields that the service rejected. */
function markFields(errors = []) {
  const [first] = errors.flatMap(({ loc }) => {
    const field = composer.elements.namedItem([loc].flat().at(-1));
    if (!(field instanceof HTMLElement)) return [];
    field.setAttribute("aria-invalid", "true");
    return [field];
  });
  first?.closest("details")?.setAttribute("open", "");
  first?.focus();
}

function startComposer() {
  composer.addEventListener("submit", (event) => {
    event.preventDefault();
    guarded(speak, "line");
  });
  // Do not submit the form when Enter is pressed in one of its fields.
  composer.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && event.target.matches("input")) event.preventDefault();
  });
  document.addEventListener("keydown", (event) => {
    if (
      event.key !== "Enter" ||
      !(event.ctrlKey || event.metaKey) ||
      document.querySelector("dialog[open]")
    )
      return;
    event.preventDefault();
    composer.requestSubmit();
  });
  composer.addEventListener("input", ({ target }) => target.removeAttribute("aria-invalid"));
  for (const event of ["input", "change"])
    composer.addEventListener(event, ({ target }) => target.name && rememberForm(line()));
  byId("speed").addEventListener("input", showSpeed);
  byId("voices").addEventListener("change", () => {
    showChoice();
    showStops();
  });
  byId("backend").addEventListener("change", () => {
    showChoice();
    showVoices(byId("backend").value);
  });
  showSpeed();
}

function showSpeed() {
  const speed = byId("speed");
  const times = `${speed.valueAsNumber.toFixed(2)}×`;
  setText(byId("speed-shown"), times);
  speed.setAttribute("aria-valuetext", `${times} as fast`);
}

/** Show the voice and the backend beside the button, and hide unsupported fields. */
function showChoice() {
  const backend = backendNamed(byId("backend").value);
  const voice = cloning() ? null : chosenVoice();
  const who = cloning() ? "your recording" : voice?.name.replaceAll("_", " ");
  setText(byId("choice"), [who, backend?.name].filter(Boolean).join(" · "));

  const isClone = cloning() || voice?.kind === "clone";
  const noInstruct = isClone
    ? "Cloned voices speak like their recording and do not support instructions."
    : backend && !backend.capabilities.instruct && `${backend.name} does not support instructions.`;
  offer(byId("instruct"), !noInstruct);
  setText(byId("instruct-hint"), noInstruct || "");
  const { parameters, seeds } = backend?.capabilities ?? { seeds: true };
  for (const field of SAMPLING) offer(field, parameters?.includes(field.name) ?? seeds);
  setText(byId("backend-hint"), BACKENDS[backend?.name] ?? "");
  byId("tab-clone").parentElement.hidden =
    !cloning() && !backends().some((other) => other.capabilities.cloning);

  const unable = cloning() && backend && !backend.capabilities.cloning;
  const note = byId("no-cloning");
  note.hidden = !unable;
  if (!unable || note.dataset.of === backend.name) return; // its buttons may have focus
  note.dataset.of = backend.name;
  const able = backends().filter((other) => other.capabilities.cloning);
  note.replaceChildren(`${backend.name} cannot clone voices. `, ...able.map(useInstead));
}

/** Show a field only if the backend supports it. */
function offer(field, able) {
  field.disabled = !able;
  field.closest(".field").hidden = !able;
}

function useInstead({ name }) {
  return el("button", {
    type: "button",
    className: "small",
    textContent: `Use ${name}`,
    onclick: () => {
      byId("backend").value = name;
      byId("backend").dispatchEvent(new Event("change"));
      byId("choose").focus();
    },
  });
}

/** List the backends; the default one is selected unless the user chose another. */
function showBackends({ usual, backends: all }) {
  const select = byId("backend");
  const known = [...select.options].map((option) => option.value);
  const names = all.map((backend) => backend.name);
  if (known.join("\n") !== names.join("\n")) {
    const chosen = [select.value, wanted.backend].find((name) => names.includes(name)) ?? usual;
    select.replaceChildren(...names.map((name) => el("option", { value: name })));
    select.value = chosen;
    showVoices(chosen, { choose: wanted.speaker });
  } else if (voicesAreMissing() && backendNamed(select.value).reachable) {
    showVoices(select.value); // it is reachable again
  }
  all.forEach(({ name, reachable }, i) =>
    setText(select.options[i], reachable ? name : `${name} (down)`),
  );
  showChoice();
}

function load() {
  refreshStatus(showBackends);
  refreshJobs();
}

const chooseTab = startTabs([byId("tab-voices"), byId("tab-clone")], () => {
  dismiss("line");
  showChoice();
});
startTheme();
fill(rememberedForm());
startComposer();
startStage();
startStatus(showBackends);
startJobs();
store.addEventListener("reuse", ({ detail }) => reuse(detail));
startClone((name) => {
  chooseTab(byId("tab-voices"));
  showVoices(byId("backend").value, { choose: name });
});
startInspect();
startKeys(() => {
  store.clear(); // another key has other jobs
  forgetSamples();
  load();
});
for (const event of ["error", "unhandledrejection"]) {
  window.addEventListener(
    event,
    ({ error, reason }) => (error ?? reason) && showProblem(error ?? reason),
  );
}
load();
