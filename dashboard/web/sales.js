// The view of sales: every chart is a filter of all the others.
"use strict";

let measure = "units";
let asked = 0;  // questions so far
let settled = 0;  // the question whose answer is shown
const shown = { country: 10, group: 12, product: 12 };
const NAMES = { country: "countries", group: "product groups", product: "products" };
const GRAINS = { day: "day", week: "week", month: "month", quarter: "quarter", year: "year" };

function toggle(dim, key) {
  if (!filter[dim].delete(key)) filter[dim].add(key);
  update();
}

function chooseDays(from, to, extend = false) {
  if (extend && filter.from !== null) {
    filter.from = from < filter.from ? from : filter.from;
    filter.to = to > filter.to ? to : filter.to;
  } else if (filter.from === from && filter.to === to) {
    filter.from = filter.to = null;
  } else {
    filter.from = from;
    filter.to = to;
  }
  update();
}

function clearFilter() {
  filter.from = filter.to = null;
  for (const dim of ["country", "group", "product"]) filter[dim].clear();
  update();
}

function productName(key) {
  for (const cube of sales.cubes) {
    const found = (cube.values.product || []).find((value) => value[0] === key);
    if (found) return found[1];
  }
  return known.get(key) || key;
}
const known = new Map();

// Works the figures out for the filter as it is, and shows them. An answer that comes after a newer question is dropped.
async function update() {
  asked += 1;
  const mine = asked;
  showChips();
  const waiting = setTimeout(() => $("sales").setAttribute("aria-busy", "true"), 150);
  try {
    const found = await answers();
    if (mine === asked) show(found);
  } catch (error) {
    if (mine === asked) {
      $("note").hidden = false;
      $("note").replaceChildren(make("strong", {}, "The figures for this filter did not come. "), `${error.message} What is below is from before.`);
      say("The figures for this filter did not come.");
    }
  } finally {
    clearTimeout(waiting);
    if (mine === asked) {
      settled = mine;
      $("sales").removeAttribute("aria-busy");
    }
  }
}

function show(found) {
  const chosen = found.product && filter.product.size ? found.product.filter((row) => filter.product.has(row.key)) : found.product;
  showNote(found);
  showKpis(found, chosen);
  showDays(found.day);
  for (const dim of ["country", "group", "product"]) showRanks(dim, found[dim]);
  showHeat(found.heat);
  showCustomers();
  const total = found.total && found.total[0];
  if (total) say(`${describeFilter()}: ${integer.format(total.units)} units in ${integer.format(total.lines)} lines.`);
}

function describeFilter() {
  const words = [];
  if (isFiltered("day")) words.push(describeDays());
  for (const dim of ["country", "group", "product"]) for (const key of filter[dim]) words.push(dim === "product" ? productName(key) : key);
  return words.length ? words.join(", ") : "All sales";
}

function describeDays() {
  if (filter.from !== null && filter.from === filter.to) return dayName.format(utc(filter.from));
  if (filter.from === null) return `until ${dayName.format(utc(filter.to))}`;
  if (filter.to === null) return `from ${dayName.format(utc(filter.from))}`;
  if (cut(filter.from) === filter.from && lastDayOf(filter.from) === filter.to && sales.grain !== "week") return day(filter.from);
  return dayName.formatRange(utc(filter.from), utc(filter.to));
}

function showChips() {
  const chips = [];
  const chip = (text, remove) => chips.push(make("li", {}, make("button.chip", { "aria-label": `Remove the filter ${text}`, onclick: remove },
    text, make("span", { "aria-hidden": "true" }, "\u00d7"))));
  if (isFiltered("day")) chip(describeDays(), () => { filter.from = filter.to = null; update(); });
  for (const dim of ["country", "group", "product"]) {
    for (const key of filter[dim]) chip(dim === "product" ? productName(key) : key, () => toggle(dim, key));
  }
  $("hint").hidden = chips.length > 0;
  $("chips").hidden = chips.length === 0;
  if (chips.length) chips.push(make("li", {}, make("button.clear", { onclick: clearFilter }, "Clear all")));
  const hadFocus = $("chips").contains(document.activeElement);
  $("chips").replaceChildren(...chips);
  if (hadFocus) ($("chips").querySelector("button") || $("from")).focus();
  $("from").value = filter.from || "";
  $("to").value = filter.to || "";
}

// What a stored page cannot tell, said plainly.
function showNote(found) {
  const lost = Object.entries({ country: "countries", group: "product groups", product: "products", day: "days", total: "totals", heat: "the heat map" })
    .filter(([part]) => found[part] === null).map(([, name]) => name);
  $("note").hidden = lost.length === 0;
  if (lost.length) {
    $("note").replaceChildren(make("strong", {}, "This stored page is too small for that filter. "),
      `It cannot tell ${lost.join(", ")} for it, because the warehouse has more figures than the ${integer.format(sales.bound)} that a page carries. The live dashboard can: `,
      make("code", {}, "python3 bootstrap.py dashboard"), ".");
  }
}

function showKpis(found, chosen) {
  const total = found.total && found.total[0];
  const all = sumCube(sales.cubes[0], [], [])[0];
  const customers = newCustomers([])[0].customers;
  const best = chosen && chosen.length ? [...chosen].sort((a, b) => b.units - a.units || (a.name < b.name ? -1 : 1))[0] : null;
  const any = ["day", "country", "group", "product"].some(isFiltered);
  const share = (part, whole) => (any && whole ? `${percent.format(part / whole)} of ${integer.format(whole)}` : "\u00a0");
  const kpi = (id, name, value, sub, title) => make("div.kpi", { id }, make("dt", {}, name), make("dd", { title }, value), make("dd.sub.muted", {}, sub));
  $("kpis").replaceChildren(
    kpi("kpi-units", "Units", total ? integer.format(total.units) : "\u2013", total ? share(total.units, all.units) : "\u00a0"),
    kpi("kpi-lines", "Lines", total ? integer.format(total.lines) : "\u2013", total ? share(total.lines, all.lines) : "\u00a0"),
    kpi("kpi-ratio", "Units per line", total && total.lines ? ratio.format(total.units / total.lines) : "\u2013",
      any && all.lines ? `${ratio.format(all.units / all.lines)} in all` : "\u00a0"),
    kpi("kpi-customers", "New customers", integer.format(customers), isFiltered("group") || isFiltered("product") ? "by day and country only" : "\u00a0"),
    kpi("kpi-best", "Most popular product", best ? best.name : "\u2013", best ? plural(best.units, "unit", "units") : "\u00a0", best ? best.name : null),
  );
}

// ---- by day -----------------------------------------------------------------------------------------------------------

function inDays(period) {
  return (filter.from === null || lastDayOf(period) >= filter.from) && (filter.to === null || period <= filter.to);
}

function showDays(rows) {
  const grain = GRAINS[sales.grain];
  $("title-day").textContent = `Sales by ${grain}`;
  const days = sales.first_day ? periods(sales.first_day, sales.last_day) : [];
  const found = new Map((rows || []).map((row) => [row.keys[0], row]));
  $("sub-day").textContent = rows === null ? "" : days.length === 0 ? "Nothing was sold yet." : measure === "units" ? "Units" : "Lines";
  const list = days.map((d) => found.get(d) || { keys: [d], name: d, lines: 0, units: 0 });
  timeChart("day", list, (row) => row[measure], (row) => tip(day(row.keys[0]), ["Units", integer.format(row.units)], ["Lines", integer.format(row.lines)]),
    (row) => `${day(row.keys[0])}: ${integer.format(row.units)} units, ${integer.format(row.lines)} lines`,
    `Sales by ${grain}: ${plural(list.length, grain, `${grain}s`)}. Arrow keys go through them, Enter filters.`);
  tableInstead($("card-day"), [
    { title: sales.grain[0].toUpperCase() + sales.grain.slice(1), value: (row) => day(row.keys[0]) },
    { title: "Units", number: true, value: (row) => integer.format(row.units) },
    { title: "Lines", number: true, value: (row) => integer.format(row.lines) },
    { title: "Units per line", number: true, value: (row) => (row.lines ? ratio.format(row.units / row.lines) : "\u2013") },
  ], list, `Sales by ${grain}`);
}

// Columns over time, or an area where they would be too thin to tell apart. A click or Enter filters by a period.
function timeChart(id, list, value, tooltip, words, label) {
  const isArea = list.length > 150;
  const accent = color(id === "customers" ? "second" : "accent");
  const series = isArea
    ? [{ type: "line", data: list.map(value), symbol: "none", step: false, lineStyle: { width: 1.5, color: accent, opacity: isFiltered("day") ? 0.3 : 1 }, areaStyle: { color: accent, opacity: isFiltered("day") ? 0.05 : 0.14 } },
      { type: "line", data: list.map((row) => (isFiltered("day") && inDays(row.keys[0]) ? value(row) : null)), symbol: "circle", showSymbol: list.filter((row) => inDays(row.keys[0])).length < 3, symbolSize: 6, lineStyle: { width: 1.5, color: accent }, itemStyle: { color: accent }, areaStyle: { color: accent, opacity: 0.25 } }]
    : [{ type: "bar", barMaxWidth: 44, barCategoryGap: "22%", data: list.map((row) => ({ value: value(row), itemStyle: { color: accent, opacity: inDays(row.keys[0]) ? 1 : 0.25, borderRadius: [3, 3, 0, 0] } })) }];
  const chart = draw(`chart-${id}`, label, {
    grid: { left: 8, right: 8, top: 12, bottom: 4, containLabel: true },
    xAxis: { type: "category", data: list.map((row) => row.keys[0]), ...axisStyle(), splitLine: { show: false }, axisLabel: { ...axisStyle().axisLabel, formatter: (text) => (sales.grain === "day" || sales.grain === "week" ? shortDay.format(utc(text)) : day(text)), hideOverlap: true } },
    yAxis: { type: "value", ...axisStyle(), axisLine: { show: false }, splitNumber: 4, minInterval: 1, axisLabel: { ...axisStyle().axisLabel, formatter: (n) => compact.format(n) } },
    tooltip: { trigger: "axis", axisPointer: { type: isArea ? "line" : "shadow", shadowStyle: { color: color("hover") }, lineStyle: { color: color("muted") } }, ...tooltipStyle(), formatter: (items) => tooltip(list[items[0].dataIndex]) },
    series,
  });
  const choose = (at, extend) => chooseDays(list[at].keys[0], lastDayOf(list[at].keys[0]), extend);
  chart.getZr().off("click");
  chart.getZr().on("click", (event) => {
    if (!chart.containPixel("grid", [event.offsetX, event.offsetY])) return;
    const at = chart.convertFromPixel({ gridIndex: 0 }, [event.offsetX, event.offsetY])[0];
    if (list[at]) choose(at, event.event.shiftKey);
  });
  keys(`chart-${id}`, () => list.length, (at) => {
    chart.dispatchAction({ type: "showTip", seriesIndex: 0, dataIndex: at });
    return words(list[at]);
  }, choose);
}

function showCustomers() {
  const grain = GRAINS[sales.grain];
  const rows = newCustomers(["day"]);
  $("title-customers").textContent = `New customers by ${grain}`;
  $("sub-customers").textContent = isFiltered("group") || isFiltered("product") ? "Narrowed by day and country only: a customer belongs to no product." : "By the day on which the warehouse first knew of them";
  const ends = rows.map((row) => row.keys[0]).concat(sales.first_day ? [cut(sales.first_day), cut(sales.last_day)] : []).sort();
  const found = new Map(rows.map((row) => [row.keys[0], row]));
  const list = (ends.length ? periods(ends[0], ends[ends.length - 1]) : []).map((d) => found.get(d) || { keys: [d], name: d, customers: 0 });
  timeChart("customers", list, (row) => row.customers, (row) => tip(day(row.keys[0]), ["New customers", integer.format(row.customers)]),
    (row) => `${day(row.keys[0])}: ${plural(row.customers, "new customer", "new customers")}`,
    `New customers by ${grain}. Arrow keys go through them, Enter filters.`);
  tableInstead($("card-customers"), [
    { title: sales.grain[0].toUpperCase() + sales.grain.slice(1), value: (row) => day(row.keys[0]) },
    { title: "New customers", number: true, value: (row) => integer.format(row.customers) },
  ], list, `New customers by ${grain}`);
}

// ---- by country, group and product ------------------------------------------------------------------------------------

function ranked(rows) {
  return [...rows].sort((a, b) => b[measure] - a[measure] || (a.name < b.name ? -1 : 1));
}

function showRanks(dim, rows) {
  const box = $(`list-${dim}`);
  if (rows === null) {
    $(`sub-${dim}`).textContent = "";
    box.replaceChildren(nothing("Not in this stored page for that filter."));
    return;
  }
  for (const row of dim === "product" ? rows : []) known.set(row.key, row.name);
  const missing = [...filter[dim]].filter((key) => !rows.some((row) => row.key === key))
    .map((key) => ({ key, name: dim === "product" ? productName(key) : key, lines: 0, units: 0 }));
  const list = ranked(rows).concat(missing);
  const total = list.reduce((sum, row) => sum + row[measure], 0);
  const most = Math.max(...list.map((row) => row[measure]), 1);
  const isTop = dim === "product" && rows.length >= 100 && !sales.is_complete;
  $(`sub-${dim}`).textContent = list.length === 0 ? "" : isTop ? "The 100 best-selling" : `${plural(list.length, NAMES[dim].replace(/ies$/, "y").replace(/s$/, ""), NAMES[dim])}`;
  const visible = list.filter((row, at) => at < shown[dim] || filter[dim].has(row.key));
  const canFilter = dim !== "product" || page.live || sales.is_complete || !sales.is_partial;
  const items = visible.map((row) => make("li", {}, make(filter[dim].size && !filter[dim].has(row.key) ? "button.rank.out" : "button.rank", {
    "aria-pressed": String(filter[dim].has(row.key)), "data-key": row.key, disabled: !canFilter,
    title: `${row.name}: ${integer.format(row.units)} units, ${integer.format(row.lines)} lines`, onclick: () => toggle(dim, row.key),
  },
  make("span.name", {}, row.name),
  make("span.value", {}, integer.format(row[measure])),
  make("span.share.muted", {}, total && !isTop ? percent.format(row[measure] / total) : ""),
  bar(row[measure] / most))));
  const more = list.length - visible.length;
  const showRanksTo = (count) => { shown[dim] = count; showRanks(dim, rows); };
  const focused = document.activeElement && box.contains(document.activeElement) ? document.activeElement.dataset.key : null;
  box.replaceChildren(list.length ? make("ol", {}, ...items) : nothing("Nothing was sold."),
    more > 0 ? make("button.more", { onclick: () => { showRanksTo(Math.min(list.length, shown[dim] + 100)); box.querySelectorAll("button.rank")[visible.length]?.focus(); } }, `Show ${integer.format(Math.min(more, 100))} more`) : "",
    shown[dim] > 12 && more === 0 ? make("button.more", { onclick: () => { showRanksTo(dim === "country" ? 10 : 12); box.querySelector("button.more")?.focus(); } }, "Show fewer") : "");
  if (focused !== null && focused !== undefined) {
    const again = [...box.querySelectorAll("button.rank")].find((button) => button.dataset.key === focused);
    if (again) again.focus({ preventScroll: true });
  }
}

function bar(part) {
  const fill = make("span.fill");
  fill.style.width = `${(100 * part).toFixed(2)}%`;
  return make("span.track", { "aria-hidden": "true" }, fill);
}

// ---- country and group ------------------------------------------------------------------------------------------------

const MOST = 40;  // rows and columns of the picture; the table below it has all

function showHeat(rows) {
  const card = $("card-heat");
  const element = $("chart-heat");
  const empty = rows === null || rows.length === 0;
  element.hidden = empty;
  card.querySelector(".empty")?.remove();
  if (empty) {
    $("sub-heat").textContent = "";
    card.append(nothing(rows === null ? "Not in this stored page for that filter." : "Nothing was sold."));
    card.querySelector("details.instead")?.remove();
    return;
  }
  const order = (place) => {
    const sums = new Map();
    for (const row of rows) sums.set(row.keys[place], (sums.get(row.keys[place]) || 0) + row[measure]);
    return [...sums].sort((a, b) => b[1] - a[1] || (a[0] < b[0] ? -1 : 1)).map(([name]) => name);
  };
  const countries = order(0);
  const groups = order(1);
  const rowsShown = countries.slice(0, MOST);
  const columnsShown = groups.slice(0, MOST);
  const place = new Map(rowsShown.map((name, at) => [name, at]));
  const column = new Map(columnsShown.map((name, at) => [name, at]));
  const cells = rows.filter((row) => place.has(row.keys[0]) && column.has(row.keys[1]))
    .sort((a, b) => place.get(a.keys[0]) - place.get(b.keys[0]) || column.get(a.keys[1]) - column.get(b.keys[1]));
  const isChosen = (row) => (!filter.country.size || filter.country.has(row.keys[0])) && (!filter.group.size || filter.group.has(row.keys[1]));
  const most = Math.max(...cells.map((row) => row[measure]), 1);
  $("sub-heat").textContent = countries.length > MOST || groups.length > MOST ? `The ${MOST} largest are drawn; the table has all` : measure === "units" ? "Units" : "Lines";
  element.style.height = `${rowsShown.length * 22 + 96}px`;
  const chart = draw("chart-heat", `Heat map of ${plural(countries.length, "country", "countries")} and ${plural(groups.length, "product group", "product groups")}. Arrow keys go through the cells, Enter filters by both.`, {
    grid: { left: 8, right: 8, top: 4, bottom: 40, containLabel: true },
    xAxis: { type: "category", data: columnsShown, ...axisStyle(), axisLine: { show: false }, splitLine: { show: false }, axisLabel: { ...axisStyle().axisLabel, interval: 0, rotate: element.clientWidth < 90 * columnsShown.length ? 40 : 0, overflow: "truncate", width: 96 } },
    yAxis: { type: "category", data: rowsShown, inverse: true, ...axisStyle(), axisLine: { show: false }, splitLine: { show: false }, axisLabel: { ...axisStyle().axisLabel, interval: 0, overflow: "truncate", width: 130 } },
    visualMap: { type: "continuous", min: 0, max: most, calculable: false, orient: "horizontal", left: "center", bottom: 0, itemWidth: 10, itemHeight: 160, text: [integer.format(most), "0"], textStyle: { color: color("muted") }, inRange: { color: [color("heat-0"), color("heat-1"), color("heat-2")] } },
    tooltip: { ...tooltipStyle(), formatter: (item) => { const row = cells[item.dataIndex]; return tip(`${row.keys[0]}, ${row.keys[1]}`, ["Units", integer.format(row.units)], ["Lines", integer.format(row.lines)]); } },
    series: [{ type: "heatmap", progressive: 0, itemStyle: { borderColor: color("surface"), borderWidth: 2, borderRadius: 4 }, emphasis: { itemStyle: { borderColor: color("ink"), borderWidth: 2 } },
      data: cells.map((row) => ({ value: [column.get(row.keys[1]), place.get(row.keys[0]), row[measure]], itemStyle: isChosen(row) ? {} : { opacity: 0.3 } })) }],
  });
  const choose = (at) => {
    const [country, group] = cells[at].keys;
    const isOn = filter.country.size === 1 && filter.group.size === 1 && filter.country.has(country) && filter.group.has(group);
    filter.country.clear();
    filter.group.clear();
    if (!isOn) {
      filter.country.add(country);
      filter.group.add(group);
    }
    update();
  };
  chart.off("click");
  chart.on("click", (item) => choose(item.dataIndex));
  keys("chart-heat", () => cells.length, (at) => {
    chart.dispatchAction({ type: "showTip", seriesIndex: 0, dataIndex: at });
    return `${cells[at].keys.join(", ")}: ${integer.format(cells[at].units)} units, ${integer.format(cells[at].lines)} lines`;
  }, choose, columnsShown.length);
  tableInstead(card, [
    { title: "Country", value: (row) => row.keys[0] },
    { title: "Product group", value: (row) => row.keys[1] },
    { title: "Units", number: true, value: (row) => integer.format(row.units) },
    { title: "Lines", number: true, value: (row) => integer.format(row.lines) },
  ], [...rows].sort((a, b) => b[measure] - a[measure]), "Sales by country and product group");
}

function startSales() {
  for (const id of ["from", "to"]) {
    $(id).min = sales.first_day || "";
    $(id).max = sales.last_day || "";
    $(id).addEventListener("change", () => {
      const value = $(id).value || null;
      filter[id] = value === null ? null : id === "from" ? cut(value) : lastDayOf(cut(value));
      if (filter.from !== null && filter.to !== null && filter.from > filter.to) filter[id === "from" ? "to" : "from"] = null;
      update();
    });
  }
  for (const input of document.querySelectorAll("input[name=measure]")) {
    input.addEventListener("change", () => { measure = input.value; update(); });
  }
}
