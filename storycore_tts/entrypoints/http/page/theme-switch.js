// The other theme by a button; the first paint is the business of theme.js.
import { byId } from "./dom.js";

export function startTheme() {
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
