// No module: it runs before the first paint, so that the page never flashes in the other theme.
try {
  const chosen = localStorage.getItem("theme");
  if (chosen) document.documentElement.dataset.theme = chosen;
} catch {
  // Storage is blocked in this browser: the system's theme it is.
}
