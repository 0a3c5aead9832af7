// What all views are made of: elements, numbers and dates by locale, charts. Text goes in by textContent alone.
"use strict";

const $ = (id) => document.getElementById(id);

// Makes an element: make("p.muted", {title: "x"}, "text", otherElement, null).
function make(what, attributes = {}, ...children) {
  const [tag, ...classes] = what.split(".");
  const element = document.createElement(tag);
  if (classes.length) element.className = classes.join(" ");
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value !== null && value !== undefined && value !== false) element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

const integer = new Intl.NumberFormat();
const ratio = new Intl.NumberFormat(undefined, { minimumFractionDigits: 2, maximumFractionDigits: 2 });
const percent = new Intl.NumberFormat(undefined, { style: "percent", minimumFractionDigits: 1, maximumFractionDigits: 1 });
const compact = new Intl.NumberFormat(undefined, { notation: "compact", maximumFractionDigits: 1 });
const moment = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });
const dayName = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeZone: "UTC" });
const shortDay = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short", timeZone: "UTC" });
const monthName = new Intl.DateTimeFormat(undefined, { month: "short", year: "numeric", timeZone: "UTC" });
const ago = new Intl.RelativeTimeFormat(undefined, { numeric: "auto" });
const madeAt = new Date(data.made_at);

function when(text) {
  return text ? moment.format(new Date(text)) : "\u2013";
}

function day(text) {
  if (sales.grain === "day" || sales.grain === "week") return dayName.format(utc(text));
  if (sales.grain === "year") return text.slice(0, 4);
  return monthName.format(utc(text));
}

// How long before the page was made, in words.
function since(text, from = madeAt) {
  if (!text) return "never";
  const seconds = (new Date(text) - from) / 1000;
  const units = [["day", 86400], ["hour", 3600], ["minute", 60], ["second", 1]];
  const [unit, size] = units.find(([, length]) => Math.abs(seconds) >= length) || units[3];
  return ago.format(Math.trunc(seconds / size), unit);
}

function duration(seconds) {
  if (seconds === null || seconds === undefined) return "\u2013";
  if (seconds < 1) return `${integer.format(Math.round(seconds * 1000))}\u00a0ms`;
  if (seconds < 120) return `${new Intl.NumberFormat(undefined, { maximumFractionDigits: 1 }).format(seconds)}\u00a0s`;
  if (seconds < 7200) return `${integer.format(Math.round(seconds / 60))}\u00a0min`;
  if (seconds < 172800) return `${integer.format(Math.round(seconds / 3600))}\u00a0h`;
  return `${integer.format(Math.round(seconds / 86400))}\u00a0d`;
}

function bytes(count) {
  if (count === null || count === undefined) return "\u2013";
  const units = ["B", "kB", "MB", "GB", "TB"];
  let size = count;
  let unit = 0;
  while (size >= 1024 && unit < units.length - 1) { size /= 1024; unit += 1; }
  return `${new Intl.NumberFormat(undefined, { maximumFractionDigits: size < 10 && unit ? 1 : 0 }).format(size)}\u00a0${units[unit]}`;
}

function plural(count, one, many) {
  return `${integer.format(count)}\u00a0${count === 1 ? one : many}`;
}

function say(text) {
  $("live").textContent = text;
}

// ---- tables -----------------------------------------------------------------------------------------------------------

// columns: [{title, value(row), number}]; a value is a text or an element.
function table(caption, columns, rows, mark = () => ({})) {
  return make("div.scroll", { tabindex: "0", role: "region", "aria-label": caption },
    make("table", {}, make("caption.hidden", {}, caption),
      make("thead", {}, make("tr", {}, ...columns.map((c) => make(c.number ? "th.number" : "th", { scope: "col" }, c.title)))),
      make("tbody", {}, ...rows.map((row) => make("tr", mark(row), ...columns.map((c) => make(c.number ? "td.number" : c.wide ? "td.wide" : "td", {}, c.value(row))))))));
}

// A table that stands in for a chart, made when it is opened.
function tableInstead(card, columns, rows, caption) {
  let details = card.querySelector("details.instead");
  const fill = () => {
    if (details.open) details.lastElementChild.replaceChildren(table(caption, columns, rows));
  };
  if (!details) {
    details = make("details.instead", {}, make("summary", {}, "As a table"), make("div"));
    card.append(details);
  }
  details.ontoggle = fill;
  fill();
}

function status(word) {
  const shape = { succeeded: "ok", passed: "ok", failed: "bad", canceled: "bad", aborted: "bad", warned: "warn", running: "busy" }[word] || "idle";
  return make(`span.status.${shape}`, {}, make("span.dot", { "aria-hidden": "true" }), word);
}

function nothing(text) {
  return make("p.empty", {}, text);
}

// ---- charts -----------------------------------------------------------------------------------------------------------

const charts = new Map();

function color(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
}

// Draws options into an element, again when the element's size or the colours change. Nothing moves.
function draw(id, label, options) {
  const element = $(id);
  let chart = charts.get(id);
  if (!chart) {
    chart = echarts.init(element, null, { renderer: "svg" });
    charts.set(id, chart);
    new ResizeObserver(() => { if (element.clientWidth > 0) chart.resize(); }).observe(element);
    element.setAttribute("tabindex", "0");
    element.setAttribute("role", "img");
  }
  element.setAttribute("aria-label", label);
  chart.resize();
  chart.setOption({ animation: false, textStyle: { fontFamily: getComputedStyle(document.body).fontFamily }, ...options }, { notMerge: true });
  return chart;
}

function axisStyle() {
  return {
    axisLine: { lineStyle: { color: color("line-strong") } },
    axisTick: { show: false },
    axisLabel: { color: color("muted"), fontSize: 12 },
    splitLine: { lineStyle: { color: color("line") } },
  };
}

function tooltipStyle() {
  return {
    backgroundColor: color("surface"),
    borderColor: color("line-strong"),
    textStyle: { color: color("ink"), fontSize: 13 },
    extraCssText: "box-shadow:0 4px 16px rgba(0,0,0,.18);border-radius:6px",
    confine: true,
    transitionDuration: 0,
  };
}

// A tooltip's content, as elements: nothing in it is read as HTML.
function tip(title, ...lines) {
  return make("div.tip", {}, make("strong", {}, title), ...lines.map(([name, value]) => make("div", {}, make("span", {}, name), make("b", {}, value))));
}

// Lets the arrow keys go through a chart's items and Enter or a space choose one.
function keys(id, count, show, choose, step = 1) {
  const element = $(id);
  let at = -1;
  element.onkeydown = (event) => {
    const move = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: step, ArrowUp: -step }[event.key];
    if (move && count() > 0) {
      at = at < 0 ? 0 : Math.min(Math.max(at + move, 0), count() - 1);
      say(show(at));
      event.preventDefault();
    } else if ((event.key === "Enter" || event.key === " ") && at >= 0) {
      choose(at, event.shiftKey);
      event.preventDefault();
    }
  };
}
