// Problems, shown until they are dismissed or resolved.
import { announce, byId, el, icon } from "./dom.js";

const shown = new Map();

/** Show a problem. It replaces an earlier one with the same key, unless the text is the same. */
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

/** Show a confirmation that disappears by itself. */
export function note(text) {
  announce(text);
  // Hidden from screen readers, which were informed by announce().
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
  console.error(error); // a bug of this page
  return {
    title: "Something went wrong on this page",
    detail: String(error),
    hint: "Reload the page.",
  };
}

/** Run an action of the user and show its errors. */
export async function guarded(task, key) {
  try {
    return await task();
  } catch (error) {
    if (error.name !== "AbortError") showProblem(error, key);
    return undefined;
  }
}
