// The view of facts of own models: of each how many by day, and the sums of its measures.
"use strict";

const decimal = new Intl.NumberFormat(undefined, { maximumFractionDigits: 2 });
const chosenMeasure = new Map(); // by fact; null: rows

// The cells of a fact as one row for each day or month between the first and the last: {day, totals by measure}.
function factDays(fact) {
  const found = new Map();
  for (const [at, measure, total] of fact.cells) {
    if (!found.has(at)) found.set(at, new Map());
    found.get(at).set(measure, total);
  }
  const ends = [...found.keys()];
  const list = [];
  for (const at = utc(ends[0]); ends.length && at <= utc(ends[ends.length - 1]);) {
    const name = at.toISOString().slice(0, 10);
    list.push({ day: name, totals: found.get(name) || new Map() });
    if (fact.grain === "month") at.setUTCMonth(at.getUTCMonth() + 1);
    else at.setUTCDate(at.getUTCDate() + 1);
  }
  return list;
}

function drawFact(fact, place) {
  const measures = [null, ...fact.measures];
  const title = (measure) => (measure === null ? "Rows" : measure);
  const shown = chosenMeasure.get(fact.fact) ?? null;
  const list = factDays(fact);
  const total = (row, measure) => Number(row.totals.get(measure) || 0);
  const name = (row) => (fact.grain === "month" ? monthName : dayName).format(utc(row.day));
  const id = `chart-fact-${place}`;
  const chart = draw(id, `${title(shown)} of ${fact.fact} by ${fact.grain}: ${plural(list.length, fact.grain, `${fact.grain}s`)}. Arrow keys go through them.`, {
    grid: { left: 8, right: 8, top: 12, bottom: 4, containLabel: true },
    xAxis: { type: "category", data: list.map((row) => row.day), ...axisStyle(), splitLine: { show: false }, axisLabel: { ...axisStyle().axisLabel, formatter: (text) => (fact.grain === "month" ? monthName : shortDay).format(utc(text)), hideOverlap: true } },
    yAxis: { type: "value", ...axisStyle(), axisLine: { show: false }, splitNumber: 4, axisLabel: { ...axisStyle().axisLabel, formatter: (n) => compact.format(n) } },
    tooltip: { trigger: "axis", axisPointer: { type: "shadow", shadowStyle: { color: color("hover") } }, ...tooltipStyle(), formatter: (items) => tip(name(list[items[0].dataIndex]), ...measures.map((m) => [title(m), decimal.format(total(list[items[0].dataIndex], m))])) },
    series: [{ type: "bar", barMaxWidth: 44, barCategoryGap: "22%", itemStyle: { color: color("accent") }, data: list.map((row) => total(row, shown)) }],
  });
  keys(id, () => list.length, (at) => {
    chart.dispatchAction({ type: "showTip", seriesIndex: 0, dataIndex: at });
    return `${name(list[at])}: ${title(shown)} ${decimal.format(total(list[at], shown))}`;
  }, () => {});
  tableInstead($(`card-fact-${place}`), [
    { title: fact.grain === "month" ? "Month" : "Day", value: name },
    ...measures.map((m) => ({ title: title(m), number: true, value: (row) => decimal.format(total(row, m)) })),
  ], list, `${fact.fact} by ${fact.grain}`);
}

function factCard(f, place) {
  const measures = [null, ...f.measures];
  const sum = (measure) => f.cells.reduce((all, cell) => (cell[1] === measure ? all + Number(cell[2]) : all), 0);
  const choice = (measure, at) => make("label", {}, make("input", {
    type: "radio", name: `measure-fact-${place}`, value: String(at), checked: at === 0,
    onchange: () => { chosenMeasure.set(f.fact, measure); drawFact(f, place); },
  }), make("span", {}, measure === null ? "Rows" : measure));
  return make("article.card.wide", { id: `card-fact-${place}`, "data-fact": f.fact },
    make("header", {}, make("h2", {}, f.fact), make("p.muted.sub", {}, [f.comment, `pipeline ${f.pipeline}`].filter(Boolean).join(" \u00b7 "))),
    f.cells.length === 0 ? nothing("Nothing was loaded yet.") : make("div", {},
      make("dl.facts", {}, ...measures.map((m) => fact(m === null ? "Rows" : m, decimal.format(sum(m)), m === null ? "" : "sum"))),
      f.measures.length ? make("fieldset.segment.by", {}, make("legend.hidden", {}, `Measure of ${f.fact}`), ...measures.map(choice)) : "",
      make("div.chart.low", { id: `chart-fact-${place}` })));
}

// Cards are made once: charts keep their elements, and measures stay chosen.
function showFacts() {
  if (!$("list-facts").childElementCount) $("list-facts").append(...data.facts.map(factCard));
  data.facts.forEach((f, place) => { if (f.cells.length) drawFact(f, place); });
}
