// The page: what is asked for, and who does what about it.
import { api } from "./api.js";
import { cloneLine, startClone } from "./clone.js";
import { byId, el, setText } from "./dom.js";
import { refreshJobs, startJobs } from "./jobs.js";
import { startKeys } from "./key.js";
import { dismiss, guarded, showProblem } from "./notices.js";
import { stage, startStage } from "./stage.js";
import { backendNamed, backends, refreshStatus } from "./status.js";
import { store } from "./store.js";
import { startTabs } from "./tabs.js";
import { startTheme } from "./theme-switch.js";
import { chosenVoice, showVoices, voicesAreMissing } from "./voices.js";

const composer = byId("composer");
const cloning = () => byId("tab-clone").getAttribute("aria-selected") === "true";

/** The line as the form says it; what is empty is left to the service. */
function line() {
  const values = {};
  for (const field of composer.elements) {
    const left =
      !field.name || field.disabled || !field.value || (field.type === "radio" && !field.checked);
    if (left || (cloning() && field.name === "speaker")) continue;
    values[field.name] = ["number", "range"].includes(field.type)
      ? field.valueAsNumber
      : field.value;
  }
  return values;
}

/** Throw what this page itself can see to be wrong, and show where. */
function check() {
  const text = byId("text");
  const empty = !text.value.trim();
  text.setAttribute("aria-invalid", String(empty));
  if (empty) {
    text.focus();
    throw {
      title: "There is nothing to say",
      detail: "The line is empty.",
      hint: "Type what shall be spoken.",
    };
  }
  for (const field of composer.elements) {
    if (!field.willValidate) continue;
    field.setAttribute("aria-invalid", String(!field.validity.valid));
    if (field.validity.valid) continue;
    field.closest("details")?.setAttribute("open", "");
    field.focus();
    throw {
      title: `${field.labels[0].textContent.trim()} cannot be that`,
      detail: field.validationMessage,
      hint: "",
    };
  }
}

async function speak() {
  const button = byId("speak");
  if (button.getAttribute("aria-busy") === "true") return;
  button.setAttribute("aria-busy", "true");
  try {
    check();
    stage(cloning() ? await cloneLine(line()) : await api.generate(line()));
    load();
  } catch (error) {
    markFields(error.errors);
    throw error;
  } finally {
    button.removeAttribute("aria-busy");
  }
}

/** Point at the fields that the service refused. */
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
  // Enter in a field of a form submits it, which nobody expects of "More" or of a transcript.
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
  byId("speed").addEventListener("input", showSpeed);
  byId("voices").addEventListener("change", showChoice);
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

/** Say beside the button what will speak, and what of the form it will not listen to. */
function showChoice() {
  const backend = backendNamed(byId("backend").value);
  const voice = cloning() ? null : chosenVoice();
  const who = cloning() ? "your recording" : voice?.name.replaceAll("_", " ");
  setText(byId("choice"), [who, backend?.name].filter(Boolean).join(" · "));

  const isClone = cloning() || voice?.kind === "clone";
  const deaf = isClone
    ? "A clone speaks in the manner of its recording, and is not told how."
    : backend && !backend.capabilities.instruct && `${backend.name} cannot be told how to speak.`;
  byId("instruct").disabled = Boolean(deaf);
  setText(byId("instruct-hint"), deaf || "");

  const unable = cloning() && backend && !backend.capabilities.cloning;
  const note = byId("no-cloning");
  note.hidden = !unable;
  if (!unable || note.dataset.of === backend.name) return; // its buttons may have the focus
  note.dataset.of = backend.name;
  const able = backends().filter((other) => other.capabilities.cloning);
  note.replaceChildren(`${backend.name} cannot clone voices. `, ...able.map(useInstead));
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

/** Offer the backends that there are; the usual one is chosen until somebody chooses another. */
function showBackends({ usual, backends: all }) {
  const select = byId("backend");
  const known = [...select.options].map((option) => option.value);
  const names = all.map((backend) => backend.name);
  if (known.join("\n") !== names.join("\n")) {
    const chosen = names.includes(select.value) ? select.value : usual;
    select.replaceChildren(...names.map((name) => el("option", { value: name })));
    select.value = chosen;
    showVoices(chosen);
  } else if (voicesAreMissing() && backendNamed(select.value).reachable) {
    showVoices(select.value); // it came back
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
startComposer();
startStage();
startJobs();
startClone((name) => {
  chooseTab(byId("tab-voices"));
  showVoices(byId("backend").value, { choose: name });
});
startKeys(() => {
  store.clear(); // another key, other jobs
  load();
});
for (const event of ["error", "unhandledrejection"]) {
  window.addEventListener(
    event,
    ({ error, reason }) => (error ?? reason) && showProblem(error ?? reason),
  );
}
load();
