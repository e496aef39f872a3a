// Tabs: one stop of the Tab key, and the arrows change them.

/** Wire some tabs; `changed` is called after another one was chosen. Returns what chooses one. */
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
