// The status of the backends.
import { api } from "./api.js";
import { byId, el, setText } from "./dom.js";
import { dismiss, showProblem } from "./notices.js";
import { store } from "./store.js";

const LATER = 10; // s
const SOON = 3; // s, while jobs are active

let latest = { usual: null, backends: [] };
let timer = 0;
let others = { running: 0, queued: 0 }; // jobs of other users, as of the last response

/** Update the job counts immediately when own jobs change. */
export function startStatus(changed) {
  store.addEventListener("job", showQueue);
  store.addEventListener("ended", () => refreshStatus(changed));
  document.addEventListener("visibilitychange", () => document.hidden || refreshStatus(changed));
}

/** The last known status of a backend; undefined if there is none. */
export const backendNamed = (name) => latest.backends.find((backend) => backend.name === name);
export const backends = () => latest.backends;

/** Refresh the status periodically; `changed` is called with it. */
export async function refreshStatus(changed) {
  clearTimeout(timer);
  try {
    latest = await api.status();
    dismiss("status");
    dismiss("jobs");
    show(latest);
    changed(latest);
  } catch (error) {
    // If the service is unreachable, share one notice with the job list.
    showProblem(error, error.status ? "status" : "jobs");
    for (const chip of byId("backends").children) chip.dataset.state = "unknown";
  }
  clearTimeout(timer);
  timer = setTimeout(
    () => document.hidden || refreshStatus(changed),
    1000 * (store.active ? SOON : LATER),
  );
}

function show({ version, backends: all, jobs }) {
  setText(byId("version"), version ?? "");
  for (const state of Object.keys(others))
    others[state] = Math.max(0, (jobs?.[state] ?? 0) - store.count(state));
  byId("backends").replaceChildren(...all.map(chip), el("li", { className: "queue" }));
  showQueue();
  const problems = all.flatMap((backend) =>
    backend.problems.map((problem) => trouble(backend, problem)),
  );
  const section = byId("troubles");
  // Update only on changes, to keep selections and not to trigger screen readers.
  const next = problems.map((node) => node.textContent).join("\n");
  if (section.dataset.said === next) return;
  section.dataset.said = next;
  section.hidden = problems.length === 0;
  section.replaceChildren(...problems);
}

function chip(backend) {
  const { name, reachable, version, device, models, problems } = backend;
  const state = !reachable ? "down" : problems.length ? "troubled" : "up";
  const words = { down: "unreachable", troubled: "has problems", up: "ready" }[state];
  const more = [version && `version ${version}`, device, ...(models ?? [])]
    .filter(Boolean)
    .join("\n");
  const item = el(
    "li",
    { title: more },
    el("b", { textContent: name }),
    ` ${[words, waiting(backend)].filter(Boolean).join(", ")}`,
  );
  item.dataset.state = state;
  return item;
}

/** Jobs waiting in the service and in the backend's own queue. */
function waiting({ waiting: here = 0, queue_length: there }) {
  const count = here + (there ?? 0);
  return count ? `${count} queued` : "";
}

function showQueue() {
  const place = byId("backends").querySelector(".queue");
  if (!place) return;
  const running = others.running + store.count("running");
  const queued = others.queued + store.count("queued");
  const parts = [running && `${running} running`, queued && `${queued} waiting`].filter(Boolean);
  setText(place, parts.length ? `Jobs: ${parts.join(", ")}` : "No jobs running");
}

function trouble(backend, { message, advice }) {
  return el(
    "p",
    {},
    el("b", { textContent: backend.name }),
    ` ${message} `,
    advice ? el("span", { className: "what-to-do", textContent: advice }) : "",
  );
}
