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
import { chosenVoice, showVoices } from "./voices.js";

const composer = byId("composer");
const cloning = () => byId("tab-clone").getAttribute("aria-selected") === "true";

/** The line as the form says it; what is empty is left to the service. */
function line() {
  const values = {};
  for (const field of composer.elements) {
    const left = !field.name || field.disabled || !field.value || (field.type === "radio" && !field.checked);
    if (left || (cloning() && field.name === "speaker")) continue;
    values[field.name] = ["number", "range"].includes(field.type) ? field.valueAsNumber : field.value;
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
    throw { title: "There is nothing to say", detail: "The line is empty.", hint: "Type what shall be spoken." };
  }
  for (const field of composer.elements) {
    if (!field.willValidate) continue;
    field.setAttribute("aria-invalid", String(!field.validity.valid));
    if (field.validity.valid) continue;
    field.closest("details")?.setAttribute("open", "");
    field.focus();
    throw { title: `${field.labels[0].textContent.trim()} cannot be that`, detail: field.validationMessage, hint: "" };
  }
}

async function speak() {
  const button = byId("speak");
  if (button.getAttribute("aria-busy") === "true") return;
  button.setAttribute("aria-busy", "true");
  try {
    check();
    stage(cloning() ? await cloneLine(line()) : await api.generate(line()));
    refreshJobs();
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
    if (event.key !== "Enter") return;
    if (event.ctrlKey || event.metaKey) composer.requestSubmit();
    else if (!event.target.matches("input:not([type=file])")) return;
    event.preventDefault();
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
  if (unable) note.replaceChildren(`${backend.name} cannot clone voices. `, ...backends().filter((b) => b.capabilities.cloning).map(useInstead));
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
  }
  all.forEach(({ name, reachable }, i) => setText(select.options[i], reachable ? name : `${name} (down)`));
  showChoice();
}

function startTabs() {
  const tabs = [byId("tab-voices"), byId("tab-clone")];
  const choose = (chosen) => {
    for (const tab of tabs) {
      tab.setAttribute("aria-selected", String(tab === chosen));
      tab.tabIndex = tab === chosen ? 0 : -1;
      byId(tab.getAttribute("aria-controls")).hidden = tab !== chosen;
    }
    dismiss("line");
    showChoice();
  };
  for (const [i, tab] of tabs.entries()) {
    tab.addEventListener("click", () => choose(tab));
    tab.addEventListener("keydown", ({ key }) => {
      if (!["ArrowLeft", "ArrowRight", "Home", "End"].includes(key)) return;
      const next = { Home: tabs[0], End: tabs.at(-1) }[key] ?? tabs[(i + 1) % tabs.length];
      choose(next);
      next.focus();
    });
  }
  return { chooseVoices: () => choose(tabs[0]) };
}

function startTheme() {
  const button = byId("theme");
  const system = matchMedia("(prefers-color-scheme: dark)");
  const root = document.documentElement;
  const isDark = () => (root.dataset.theme ? root.dataset.theme === "dark" : system.matches);
  const show = () => {
    button.setAttribute("aria-checked", String(isDark()));
    document.dispatchEvent(new Event("themechange")); // what is drawn on a canvas has to be drawn anew
  };
  button.addEventListener("click", () => {
    root.dataset.theme = isDark() ? "light" : "dark";
    try {
      localStorage.setItem("theme", root.dataset.theme);
    } catch {
      // Storage is blocked: it holds until the page is left.
    }
    show();
  });
  system.addEventListener("change", show);
  show();
}

function load() {
  refreshStatus(showBackends);
  refreshJobs();
}

const { chooseVoices } = startTabs();
startTheme();
startComposer();
startStage();
startJobs();
startClone((name) => {
  chooseVoices();
  showVoices(byId("backend").value, { choose: name });
});
startKeys(() => {
  store.clear(); // another key, other jobs
  load();
});
for (const event of ["error", "unhandledrejection"]) {
  window.addEventListener(event, ({ error, reason }) => (error ?? reason) && showProblem(error ?? reason));
}
load();
