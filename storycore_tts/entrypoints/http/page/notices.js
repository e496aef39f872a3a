// What went wrong, and what to do about it: shown until it is dismissed or mended.
import { announce, byId, el, icon } from "./dom.js";

const shown = new Map();

/** Show a problem. With a key, it replaces the one of that key and is not said twice. */
export function showProblem(problem, key = Symbol("once")) {
  const { title, detail, hint, errors = [] } = asProblem(problem);
  const said = [title, detail, hint].join("\n");
  if (shown.get(key)?.said === said) return;
  dismiss(key);
  const notice = el(
    "div",
    { className: "notice" },
    el(
      "div",
      {},
      el("strong", { textContent: title }),
      detail ? el("p", { textContent: detail }) : "",
      errors.length
        ? el("ul", {}, ...errors.map((error) => el("li", { textContent: worded(error) })))
        : "",
      hint ? el("p", { className: "what-to-do", textContent: hint }) : "",
    ),
    el(
      "button",
      { type: "button", className: "quiet", "aria-label": "Dismiss", onclick: () => dismiss(key) },
      icon("close"),
    ),
  );
  byId("notices").append(notice);
  shown.set(key, { said, notice });
}

export function dismiss(key) {
  shown.get(key)?.notice.remove();
  shown.delete(key);
}

/** Say that something was done; it goes by itself, for nothing is to be done about it. */
export function note(text) {
  announce(text);
  // Not in the alerts: a screen reader has heard it already.
  const toast = el("p", { className: "toast", textContent: text, "aria-hidden": "true" });
  document.body.append(toast);
  setTimeout(() => toast.remove(), 5000);
}

function worded({ loc, msg }) {
  const where = Array.isArray(loc) ? loc.filter((part) => part !== "body").join(".") : loc;
  return where ? `${where}: ${msg}` : msg;
}

function asProblem(error) {
  if (error.title) return error;
  console.error(error); // a mistake of this page's own
  return { title: "Something went wrong on this page", detail: String(error), hint: "Reload it." };
}

/** Run something that a person asked for, and show what goes wrong. */
export async function guarded(task, key) {
  try {
    return await task();
  } catch (error) {
    if (error.name !== "AbortError") showProblem(error, key);
    return undefined;
  }
}
