// The list of jobs; it asks again by itself, faster while something is under way.
import { api } from "./api.js";
import { byId, el } from "./dom.js";
import { JobView } from "./job.js";
import { dismiss, showProblem } from "./notices.js";
import { hasEnded, store } from "./store.js";

const SOON = 2; // s
const LATER = 15;
const PAGE = 50;

const views = new Map();
let limit = PAGE;
let timer = 0;

export function startJobs() {
  store.addEventListener("job", ({ detail }) => show(detail));
  store.addEventListener("cleared", clear);
  document.addEventListener("visibilitychange", () => document.hidden || refreshJobs());
  byId("older").addEventListener("click", () => {
    limit += PAGE;
    refreshJobs();
  });
}

export async function refreshJobs() {
  clearTimeout(timer);
  try {
    const { jobs } = await api.jobs(limit);
    byId("older").hidden = jobs.length < limit;
    [...jobs].reverse().forEach((job) => store.put(job));
    forget(new Set(jobs.map((job) => job.id)));
    dismiss("jobs");
  } catch (error) {
    showProblem(error, "jobs");
  }
  clearTimeout(timer); // another refresh may have been faster
  timer = setTimeout(
    () => (document.hidden ? undefined : refreshJobs()),
    1000 * (store.active ? SOON : LATER),
  );
}

function show(job) {
  let view = views.get(job.id);
  if (view) {
    view.show(job);
  } else {
    view = new JobView(job);
    views.set(job.id, view);
    place(el("li", {}, view.element), job);
  }
  byId("no-jobs").hidden = views.size > 0;
  const active = [...views.values()].filter((known) => !hasEnded(known.job)).length;
  byId("counts").textContent = active ? `${active} under way` : "";
}

/** The youngest first; the list comes in that order, but one's own job may be younger than it. */
function place(item, job) {
  item.dataset.created = job.created;
  const older = [...byId("jobs").children].find((other) => other.dataset.created <= job.created);
  byId("jobs").insertBefore(item, older ?? null);
}

/** Take away what the service no longer keeps. */
function forget(kept) {
  for (const [id, view] of views) {
    if (kept.has(id) || !hasEnded(view.job)) continue;
    const item = view.element.parentElement;
    view.close();
    item.remove();
    views.delete(id);
  }
}

function clear() {
  for (const view of views.values()) view.close();
  views.clear();
  byId("jobs").replaceChildren();
  byId("no-jobs").hidden = false;
  byId("counts").textContent = "";
}
