// Tabs: a single tab stop; the arrow keys switch between them.

/** Set up tabs; `changed` is called after a switch. Returns a function that selects a tab. */
export function startTabs(tabs, changed) {
  const choose = (chosen) => {
    for (const tab of tabs) {
      tab.setAttribute("aria-selected", String(tab === chosen));
      tab.tabIndex = tab === chosen ? 0 : -1;
      document.getElementById(tab.getAttribute("aria-controls")).hidden = tab !== chosen;
    }
    changed();
  };
  for (const [i, tab] of tabs.entries()) {
    tab.addEventListener("click", () => choose(tab));
    tab.addEventListener("keydown", ({ key }) => {
      const next = {
        ArrowRight: tabs[(i + 1) % tabs.length],
        ArrowLeft: tabs.at(i - 1),
        Home: tabs[0],
        End: tabs.at(-1),
      }[key];
      if (!next) return;
      choose(next);
      next.focus();
    });
  }
  return choose;
}
