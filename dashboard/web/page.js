// The page around the views: tabs, colours, printing. Everything starts here.
"use strict";

const VIEWS = { sales: () => update(), ...(data.facts.length ? { facts: showFacts } : {}), pipeline: showPipeline, lineage: showLineage };

function current() {
  return document.querySelector("[role=tab][aria-selected=true]").getAttribute("aria-controls");
}

function go(view, focus = false) {
  for (const tab of document.querySelectorAll("[role=tab]")) {
    const isIt = tab.getAttribute("aria-controls") === view;
    tab.setAttribute("aria-selected", String(isIt));
    tab.tabIndex = isIt ? 0 : -1;
    if (isIt && focus) tab.focus();
  }
  for (const name of Object.keys(VIEWS)) $(name).hidden = name !== view;
  history.replaceState(null, "", `#view-${view}`);
  VIEWS[view]();
}

function isDark() {
  return (document.documentElement.dataset.theme || (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")) === "dark";
}

function paint(theme) {
  if (theme) document.documentElement.dataset.theme = theme;
  $("theme").setAttribute("aria-pressed", String(isDark()));
  VIEWS[current()]();
}

function remembered() {
  try { return localStorage.getItem("headrace-theme"); } catch { return null; }
}

function startTabs() {
  $("tab-facts").hidden = !VIEWS.facts;
  const tabs = [...document.querySelectorAll("[role=tab]:not([hidden])")];
  for (const [at, tab] of tabs.entries()) {
    tab.addEventListener("click", () => go(tab.getAttribute("aria-controls")));
    tab.addEventListener("keydown", (event) => {
      const to = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: tabs.length - 1 }[event.key];
      if (to === undefined) return;
      go(tabs[(to + tabs.length) % tabs.length].getAttribute("aria-controls"), true);
      event.preventDefault();
    });
  }
}

function startPrinting() {
  let before = null;
  window.addEventListener("beforeprint", () => {
    before = { view: current(), theme: document.documentElement.dataset.theme };
    document.documentElement.dataset.theme = "light";
    for (const [name, showView] of Object.entries(VIEWS)) { $(name).hidden = false; showView(); }
  });
  window.addEventListener("afterprint", () => {
    if (before.theme) document.documentElement.dataset.theme = before.theme;
    else delete document.documentElement.dataset.theme;
    go(before.view);
  });
}

function start() {
  $("database").textContent = data.database;
  const fresh = data.pipelines.map((p) => p.captured_at).filter(Boolean).sort()[0];
  $("made").textContent = page.live ? (fresh ? `Data of ${when(fresh)}` : "No data yet") : `Stored copy of ${when(data.made_at)}`;
  $("made").title = `Page made ${when(data.made_at)}${fresh ? `, data captured ${when(fresh)}` : ""}`;
  $("reload").hidden = !page.live;
  $("reload").addEventListener("click", () => location.reload());
  $("foot").textContent = `Made ${when(data.made_at)} by PostgreSQL. Days are those of ${data.time_zone}; times are your own.`
    + (sales.is_complete ? "" : ` Sales are carried by ${sales.grain}.`);
  $("theme").addEventListener("click", () => {
    const theme = isDark() ? "light" : "dark";
    try { localStorage.setItem("headrace-theme", theme); } catch { /* a page from a file may have no storage */ }
    paint(theme);
  });
  if (remembered()) document.documentElement.dataset.theme = remembered();
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => paint(null));
  $("theme").setAttribute("aria-pressed", String(isDark()));
  startTabs();
  startSales();
  startPrinting();
  showBanner();
  const wanted = location.hash.replace("#view-", "");
  go(VIEWS[wanted] ? wanted : VIEWS.facts && !sales.first_day ? "facts" : "sales");
  let width = window.innerWidth;
  window.addEventListener("resize", () => {
    if (window.innerWidth !== width && current() === "sales") update();
    width = window.innerWidth;
  });
  document.body.dataset.started = "yes";
}

start();
