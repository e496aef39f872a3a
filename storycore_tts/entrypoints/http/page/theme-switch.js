// The button that switches themes; theme.js sets the theme before the first paint.
import { byId } from "./dom.js";

export function startTheme() {
  const button = byId("theme");
  const system = matchMedia("(prefers-color-scheme: dark)");
  const root = document.documentElement;
  const isDark = () => (root.dataset.theme ? root.dataset.theme === "dark" : system.matches);
  const show = () => {
    button.setAttribute("aria-checked", String(isDark()));
    document.dispatchEvent(new Event("themechange")); // canvases must be redrawn
  };
  button.addEventListener("click", () => {
    root.dataset.theme = isDark() ? "light" : "dark";
    try {
      localStorage.setItem("theme", root.dataset.theme);
    } catch {
      // Storage is blocked: the choice lasts until the page is closed.
    }
    show();
  });
  system.addEventListener("change", show);
  show();
}
