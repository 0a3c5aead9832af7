// The figures: cubes that the page carries, and what a filter makes of them. No element of the page is touched here.
"use strict";

const page = JSON.parse(document.getElementById("figures").textContent);
const data = page.data;
const sales = data.sales;

// What a part shows, and what of the filter it leaves out, so that what was not chosen is seen beside what was.
const PARTS = {
  total: { dims: [], own: [] },
  day: { dims: ["day"], own: ["day"] },
  country: { dims: ["country"], own: ["country"] },
  group: { dims: ["group"], own: ["group"] },
  heat: { dims: ["country", "group"], own: ["country", "group"] },
  product: { dims: ["product"], own: ["product"] },
};

const filter = { from: null, to: null, country: new Set(), group: new Set(), product: new Set() };

function isFiltered(dim) {
  return dim === "day" ? filter.from !== null || filter.to !== null : filter[dim].size > 0;
}

function passes(dim, value) {
  if (dim === "day") return (filter.from === null || value >= filter.from) && (filter.to === null || value <= filter.to);
  return filter[dim].has(dim === "product" ? value[0] : value);
}

// Sums a cube by dimensions, narrowed by the filter in the dimensions of `narrow`: a list of {key, name, lines, units, ...}.
function sumCube(cube, by, narrow) {
  const measures = ["lines", "units", "customers"].filter((name) => cube[name]);
  const count = cube[measures[0]].length;
  const allowed = narrow.map((dim) => [cube.columns[dim], cube.values[dim].map((value) => passes(dim, value))]);
  const columns = by.map((dim) => cube.columns[dim]);
  const sizes = by.map((dim) => cube.values[dim].length);
  const rows = new Map();
  for (let i = 0; i < count; i += 1) {
    if (!allowed.every(([column, ok]) => ok[column[i]])) continue;
    let place = 0;
    for (let d = 0; d < by.length; d += 1) place = place * sizes[d] + columns[d][i];
    let row = rows.get(place);
    if (!row) {
      row = { keys: by.map((dim, d) => cube.values[dim][columns[d][i]]) };
      for (const name of measures) row[name] = 0;
      rows.set(place, row);
    }
    for (const name of measures) row[name] += cube[name][i];
  }
  if (by.length === 0 && rows.size === 0) rows.set(0, { keys: [], lines: 0, units: 0, customers: 0 });
  return [...rows.values()].map((row) => named(row, by));
}

function named(row, by) {
  const first = row.keys[0];
  if (by[0] === "product") return { ...row, key: first[0], name: first[1] };
  return { ...row, key: row.keys.join("\u0000"), name: String(first) };
}

// What a part shows, from the page's own cubes; null where none of them can tell.
function ownAnswer(part) {
  const { dims, own } = PARTS[part];
  const narrow = ["day", "country", "group", "product"].filter((dim) => isFiltered(dim) && !own.includes(dim));
  const cube = sales.cubes.find((c) => [...dims, ...narrow].every((dim) => c.dims.includes(dim)) && !(isCut(c) && narrow.length > 0) && !(isCut(c) && part !== "product"));
  return cube ? sumCube(cube, dims, narrow) : null;
}

// A cube that holds only the best-selling products.
function isCut(cube) {
  return sales.is_partial && cube.dims.length === 1 && cube.dims[0] === "product";
}

function serverFilter() {
  const asked = {};
  if (filter.from !== null) asked.from = filter.from;
  if (filter.to !== null) asked.to = filter.to;
  if (filter.country.size) asked.countries = [...filter.country];
  if (filter.group.size) asked.groups = [...filter.group];
  if (filter.product.size) asked.products = [...filter.product];
  return asked;
}

// All parts for the filter as it is; a part that nobody can tell is null. Asks the server only for what the page cannot tell.
async function answers() {
  const found = {};
  for (const part of Object.keys(PARTS)) found[part] = ownAnswer(part);
  const missing = Object.keys(PARTS).filter((part) => found[part] === null);
  if (page.live && missing.length > 0) {
    const query = new URLSearchParams({ filter: JSON.stringify(serverFilter()), parts: missing.join(","), grain: sales.grain });
    const reply = await fetch(`data?${query}`, { cache: "no-store" });
    if (!reply.ok) throw new Error((await reply.text()).trim() || `the server answered ${reply.status}`);
    const cubes = await reply.json();
    for (const part of missing) found[part] = sumCube(cubes[part], PARTS[part].dims, []);
  }
  return found;
}

function newCustomers(by) {
  const narrow = ["day", "country"].filter((dim) => isFiltered(dim) && !by.includes(dim));
  return sumCube(sales.customers, by, narrow);
}

// The periods from the first to the last, none left out; days are texts such as 2026-03-01.
function periods(first, last) {
  const all = [];
  for (let day = cut(first); day <= last && all.length < 20000; day = nextPeriod(day)) all.push(day);
  return all;
}

function utc(day) {
  return new Date(`${day}T00:00:00Z`);
}

function iso(date) {
  return date.toISOString().slice(0, 10);
}

function cut(day) {
  const date = utc(day);
  if (sales.grain === "week") date.setUTCDate(date.getUTCDate() - ((date.getUTCDay() + 6) % 7));
  if (sales.grain === "month") date.setUTCDate(1);
  if (sales.grain === "quarter") date.setUTCMonth(Math.floor(date.getUTCMonth() / 3) * 3, 1);
  if (sales.grain === "year") date.setUTCMonth(0, 1);
  return iso(date);
}

function nextPeriod(day) {
  const date = utc(day);
  if (sales.grain === "day") date.setUTCDate(date.getUTCDate() + 1);
  if (sales.grain === "week") date.setUTCDate(date.getUTCDate() + 7);
  if (sales.grain === "month") date.setUTCMonth(date.getUTCMonth() + 1);
  if (sales.grain === "quarter") date.setUTCMonth(date.getUTCMonth() + 3);
  if (sales.grain === "year") date.setUTCFullYear(date.getUTCFullYear() + 1);
  return iso(date);
}

function lastDayOf(period) {
  const date = utc(nextPeriod(period));
  date.setUTCDate(date.getUTCDate() - 1);
  return iso(date);
}
