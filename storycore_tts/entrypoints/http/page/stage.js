// The line submitted last: its live progress, then its audio.
import { announce, byId, el } from "./dom.js";
import { JobView } from "./job.js";
import { dismiss, guarded } from "./notices.js";
import { stageName } from "./progress.js";
import { follow, hasEnded, store } from "./store.js";

let view = null;
let said = "";

export function startStage() {
  store.addEventListener("job", ({ detail }) => {
    if (view?.job.id === detail.id) show(detail);
  });
  store.addEventListener("cleared", clear);
  store.addEventListener("removed", ({ detail }) => view?.job.id === detail && clear());
}

function clear() {
  const hadFocus = byId("stage").contains(document.activeElement);
  view?.close();
  view = null;
  byId("stage").hidden = true;
  if (hadFocus) byId("text").focus();
}

/** Show that a line is being sent; returns a function that restores the previous content. */
export function sending(text) {
  const place = byId("stage");
  const before = [[...place.childNodes], place.hidden];
  const words = el("p", { className: "line", textContent: text });
  const bar = el("progress", { "aria-label": "Sending" });
  place.replaceChildren(words, bar, el("p", { className: "hint", textContent: "Sending…" }));
  place.hidden = false;
  place.setAttribute("aria-busy", "true");
  return () => {
    place.replaceChildren(...before[0]);
    place.hidden = before[1];
    place.setAttribute("aria-busy", "false");
  };
}

/** Show a new job. */
export function stage(job) {
  dismiss("line");
  view?.close();
  view = new JobView(job);
  said = "";
  byId("stage").replaceChildren(view.element);
  byId("stage").hidden = false;
  store.put(job);
  show(store.get(job.id));
  follow(job.id);
}

function show(job) {
  const before = view.job.state;
  view.show(job);
  // Announce each stage once; percentages would be too verbose.
  const now = job.problem
    ? `${stageName(job)}: ${job.problem.detail} ${job.problem.hint ?? ""}`
    : stageName(job);
  if (now !== said) announce((said = now));
  if (job.state === "succeeded" && (before !== "succeeded" || !view.player))
    guarded(() => view.play());
  byId("stage").setAttribute("aria-busy", String(!hasEnded(job)));
}
