// The list of jobs; refreshed periodically, more often while jobs are active.
import { api } from "./api.js";
import { byId, el, setText } from "./dom.js";
import { JobView } from "./job.js";
import { dismiss, showProblem } from "./notices.js";
import { hasEnded, store } from "./store.js";

const SOON = 2; // s
const LATER = 15;
const PAGE = 50;
const MOST = 500; // maximum of the service

const EMPTY = "Nothing here yet. Everything you generate is listed here.";

const views = new Map();
let limit = PAGE;
let timer = 0;

export function startJobs() {
  store.addEventListener("job", ({ detail }) => show(detail));
  store.addEventListener("cleared", clear);
  document.addEventListener("visibilitychange", () => document.hidden || refreshJobs());
  store.addEventListener("removed", ({ detail }) => takeAway(detail));
  byId("search").addEventListener("input", () => {
    if (limit < MOST) {
      limit = MOST; // search everything that the service lists
      refreshJobs();
    }
    filter();
  });
  byId("older").addEventListener("click", () => {
    limit = Math.min(limit + PAGE, MOST);
    refreshJobs();
  });
}

export async function refreshJobs() {
  clearTimeout(timer);
  try {
    const { jobs } = await api.jobs(limit);
    byId("older").hidden = jobs.length < limit || limit >= MOST;
    [...jobs].reverse().forEach((job) => store.put(job));
    forget(new Set(jobs.map((job) => job.id)));
    dismiss("jobs");
  } catch (error) {
    showProblem(error, "jobs");
  }
  clearTimeout(timer); // another refresh may have finished earlier
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
  filter();
  const active = [...views.values()].filter((known) => !hasEnded(known.job)).length;
  byId("counts").textContent = active ? `${active} in progress` : "";
}

/** Show the jobs that contain all search words in text, voice, backend or seed. */
function filter() {
  const wanted = byId("search").value.toLowerCase().split(/\s+/).filter(Boolean);
  let found = 0;
  for (const { job, element } of views.values()) {
    const { text, speaker, backend, result } = job;
    const all = [text, speaker?.replaceAll("_", " "), backend, result?.seed].join(" ").toLowerCase();
    const shown = wanted.every((word) => all.includes(word));
    element.parentElement.hidden = !shown;
    found += shown;
  }
  byId("search").parentElement.hidden = views.size === 0;
  byId("no-jobs").hidden = found > 0;
  setText(byId("no-jobs"), views.size ? "Nothing matches your search." : EMPTY);
}

/** Insert a job, newest first; a job that was just submitted may be newer than the list. */
function place(item, job) {
  item.dataset.created = job.created;
  const older = [...byId("jobs").children].find((other) => other.dataset.created <= job.created);
  byId("jobs").insertBefore(item, older ?? null);
}

/** Remove ended jobs that the service no longer lists. */
function forget(kept) {
  for (const [id, view] of views) {
    if (!kept.has(id) && hasEnded(view.job)) takeAway(id);
  }
}

function takeAway(id) {
  const view = views.get(id);
  if (!view) return;
  const item = view.element.parentElement;
  const next = item.nextElementSibling ?? item.previousElementSibling;
  const hadFocus = item.contains(document.activeElement);
  view.close();
  item.remove();
  views.delete(id);
  filter();
  if (hadFocus) (next?.querySelector("button:not([hidden])") ?? byId("text")).focus();
}

function clear() {
  for (const view of views.values()) view.close();
  views.clear();
  byId("jobs").replaceChildren();
  filter();
  byId("counts").textContent = "";
}
