// Not a module, so that it runs before the first paint and the page never flashes.
try {
  const chosen = localStorage.getItem("theme");
  if (chosen) document.documentElement.dataset.theme = chosen;
} catch {
  // Storage is blocked: use the theme of the system.
}
