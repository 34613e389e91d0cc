// Runs in Locust's own page: below the tab "Compare" there is the page that compares.
"use strict";

(() => {
  const root = document.getElementById("root");
  const frame = document.createElement("iframe");
  frame.id = "compare";
  frame.title = "Compare the stacks";
  frame.style.cssText = "border: 0; position: absolute; left: 0; width: 100%";

  // Locust says in its address which tab is open; before a test there are no tabs.
  function place() {
    const tabs = root.querySelector('[role="tablist"]');
    const tab = new URL(location.href).searchParams.get("tab");
    const open = tab === "compare" && tabs !== null;
    if (open && !frame.isConnected) {
      frame.src = "./compare/";
      document.body.append(frame);
    } else if (!open && frame.isConnected) {
      frame.remove();
    }
    if (open) fit(tabs);
  }

  // Over the tab, which is empty, and as high as what it shows, so that there is one scroll bar.
  function fit(tabs) {
    const shown = frame.contentDocument && frame.contentDocument.querySelector("main");
    const top = tabs.getBoundingClientRect().bottom + scrollY;
    const height = Math.max(shown ? shown.offsetHeight : 0, innerHeight - top);
    frame.style.top = `${top}px`;
    frame.style.height = `${height}px`;
  }

  frame.addEventListener("load", () => {
    const shown = frame.contentDocument.querySelector("main");
    if (shown) new ResizeObserver(place).observe(shown);
  });
  addEventListener("resize", place);
  new MutationObserver(place).observe(root, { childList: true, subtree: true, attributes: true });
  place();
})();
