// The view of the lineage: boxes in layers from the source to the metrics, drawn from the nodes and edges that the registry gives.
"use strict";

const BOX = { width: 178, height: 50, gapX: 40, gapY: 16 };
const KINDS = { source: "Source table", mirror: "Mirror", stage: "Stage", quarantine: "Quarantine", dimension: "Dimension", fact: "Fact", aggregate: "Aggregate", metric: "Metric", view: "View" };
const SVG = "http://www.w3.org/2000/svg";
let selected = null;

function svg(tag, attributes = {}, ...children) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) if (value !== null) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

function nextOf(edges, node, forwards) {
  return edges.filter((e) => (forwards ? e.from_node : e.to_node) === node).map((e) => (forwards ? e.to_node : e.from_node));
}

// Everything that is reached from a node along the edges, itself left out.
function reached(edges, node, forwards) {
  const seen = new Set();
  const todo = [node];
  while (todo.length) {
    for (const next of nextOf(edges, todo.pop(), forwards)) {
      if (next !== node && !seen.has(next)) { seen.add(next); todo.push(next); }
    }
  }
  return seen;
}

// The edges without those that a longer way stands for.
function essential(edges) {
  return edges.filter((e) => !nextOf(edges, e.from_node, true).some((via) => via !== e.to_node && reached(edges, via, true).has(e.to_node)));
}

// The layer of each node: the longest way that leads to it. Edges in a circle cannot raise it for ever.
function layersOf(nodes, edges) {
  const layer = new Map(nodes.map((n) => [n.node, 0]));
  for (let round = 0; round < nodes.length; round += 1) {
    let changed = false;
    for (const e of edges) {
      if (layer.get(e.to_node) <= layer.get(e.from_node) && layer.get(e.from_node) + 1 < nodes.length) {
        layer.set(e.to_node, layer.get(e.from_node) + 1);
        changed = true;
      }
    }
    if (!changed) break;
  }
  return layer;
}

// Where each box goes: columns by layer, within a column beside what feeds it; quarantine below all, since nothing comes out of it.
// An edge that passes a column has a place there as well, so that no line runs behind a box. `bends` has these places by edge.
function places(nodes, edges) {
  const layer = layersOf(nodes, edges);
  const columns = [];
  const quarantine = new Set(nodes.filter((n) => n.kind === "quarantine").map((n) => n.node));
  for (const n of nodes) (columns[layer.get(n.node)] ||= []).push(n.node);
  const feeds = new Map(nodes.map((n) => [n.node, []]));
  const bends = new Map();
  for (const e of edges) {
    const way = [];
    let before = e.from_node;
    for (let x = layer.get(e.from_node) + 1; x < layer.get(e.to_node) && !quarantine.has(e.to_node); x += 1) {
      const bend = `${e.from_node}\u0000${e.to_node}\u0000${x}`;
      columns[x].push(bend);
      feeds.set(bend, [before]);
      way.push(bend);
      before = bend;
    }
    feeds.get(e.to_node).push(before);
    bends.set(e, way);
  }
  const place = new Map();
  const most = Math.max(...columns.map((c) => c.filter((node) => !quarantine.has(node)).length));
  columns.forEach((column, x) => {
    const weights = new Map(column.map((node) => {
      const before = feeds.get(node).filter((from) => place.has(from)).map((from) => place.get(from).y);
      return [node, before.length ? before.reduce((a, b) => a + b, 0) / before.length : 0];
    }));
    const list = column.filter((node) => !quarantine.has(node)).sort((a, b) => weights.get(a) - weights.get(b) || (a < b ? -1 : 1));
    list.forEach((node, y) => place.set(node, { x, y: y + (most - list.length) / 2 }));
    for (const node of column.filter((n) => quarantine.has(n))) place.set(node, { x, y: most });
  });
  return { place, bends, columns: columns.length, rows: Math.max(...[...place.values()].map((p) => p.y)) + 1 };
}

function shorten(text, length) {
  return text.length > length ? `${text.slice(0, length - 1)}\u2026` : text;
}

// Shortens the text of an SVG element until it is no wider than that.
function fit(element, width) {
  const text = element.textContent;
  for (let length = text.length - 1; length > 3 && element.getComputedTextLength() > width; length -= 1) element.textContent = shorten(text, length);
}

function rowsOf(node) {
  return node.table_rows === null ? "" : `${node.is_estimate ? "\u2248\u00a0" : ""}${integer.format(node.table_rows)}`;
}

function showLineage() {
  const nodes = data.nodes;
  if (nodes.length === 0) {
    $("picture").replaceChildren(nothing("Nothing is registered yet, so there is nothing to draw."));
    $("detail").hidden = true;
    return;
  }
  const edges = essential(data.edges);
  const { place, bends, columns, rows } = places(nodes, edges);
  const width = columns * (BOX.width + BOX.gapX) - BOX.gapX;
  const height = rows * (BOX.height + BOX.gapY) - BOX.gapY;
  const left = (node) => place.get(node).x * (BOX.width + BOX.gapX);
  const top = (node) => place.get(node).y * (BOX.height + BOX.gapY);
  const lines = edges.map((e) => {
    let d = `M${left(e.from_node) + BOX.width},${top(e.from_node) + BOX.height / 2}`;
    let [x, y] = [left(e.from_node) + BOX.width, top(e.from_node) + BOX.height / 2];
    for (const next of [...bends.get(e), e.to_node]) {
      const [toX, toY] = [left(next), top(next) + BOX.height / 2];
      const bend = (toX - x) / 2;
      d += ` C${x + bend},${y} ${toX - bend},${toY} ${toX},${toY}`;
      [x, y] = [toX + BOX.width, toY];
      if (next !== e.to_node) d += ` L${x},${y}`;
    }
    return svg("path", { class: "edge", d, "data-from": e.from_node, "data-to": e.to_node });
  });
  const boxes = nodes.map((n) => {
    const at = n.node.lastIndexOf(".");
    const name = n.node.slice(at + 1);
    const box = svg("g", { class: `box ${n.kind}`, transform: `translate(${left(n.node)},${top(n.node)})`, tabindex: "0", role: "button", "aria-pressed": "false", "data-node": n.node,
      "aria-label": `${KINDS[n.kind]} ${n.node}${n.table_rows === null ? "" : `, ${integer.format(n.table_rows)} rows`}` },
    svg("title", {}, n.node),
    svg("rect", { width: BOX.width, height: BOX.height, rx: 7 }),
    svg("rect", { class: "edge-mark", width: 4, height: BOX.height - 16, x: 8, y: 8, rx: 2 }),
    svg("text", { class: "name", x: 20, y: 21 }, name),
    svg("text", { class: "kind", x: 20, y: 38 }, shorten(n.kind === "source" ? n.node.slice(0, at) : KINDS[n.kind].toLowerCase(), n.table_rows === null ? 24 : 14)),
    svg("text", { class: "rows", x: BOX.width - 10, y: 38, "text-anchor": "end" }, rowsOf(n)));
    box.addEventListener("click", () => choose(n.node));
    box.addEventListener("keydown", (event) => {
      if (event.key === "Enter" || event.key === " ") { choose(n.node); event.preventDefault(); }
    });
    return box;
  });
  const order = (box) => { const p = place.get(box.dataset.node); return p.x * 1000 + p.y; };
  boxes.sort((a, b) => order(a) - order(b));
  $("picture").replaceChildren(svg("svg", { viewBox: `-2 -2 ${width + 4} ${height + 4}`, class: "lineage", style: `min-width:${Math.round(width * 0.78)}px;max-width:${Math.round(width * 1.15)}px` }, ...lines, ...boxes));
  for (const name of document.querySelectorAll("#picture .name")) fit(name, BOX.width - 30);
  select(selected || nodes.find((n) => n.kind === "fact")?.node || nodes[0].node);
}

// Selects a node because somebody wants it, and says what it is; its definition would be long to listen to.
function choose(node) {
  select(node);
  const n = data.nodes.find((other) => other.node === node);
  say(`${KINDS[n.kind]} ${n.node}: ${n.comment || "it has no COMMENT."}`);
}

function select(node) {
  selected = node;
  const before = reached(data.edges, node, false);
  const after = reached(data.edges, node, true);
  const isOn = (other) => other === node || before.has(other) || after.has(other);
  for (const box of document.querySelectorAll("#picture .box")) {
    const other = box.dataset.node;
    box.setAttribute("aria-pressed", String(other === node));
    box.classList.toggle("out", !isOn(other));
  }
  const within = (set, e) => (set.has(e.dataset.from) || e.dataset.from === node) && (set.has(e.dataset.to) || e.dataset.to === node);
  for (const edge of document.querySelectorAll("#picture .edge")) edge.classList.toggle("on", within(before, edge) || within(after, edge));
  const n = data.nodes.find((other) => other.node === node);
  const link = (other) => make("button.link", { onclick: () => { choose(other); $("detail").focus(); } }, other);
  const list = (title, names) => make("div", {}, make("dt", {}, title), make("dd", {}, ...(names.length ? names.flatMap((name, at) => (at ? [", ", link(name)] : [link(name)])) : ["nothing"])));
  $("detail").hidden = false;
  $("detail").replaceChildren(
    make("header", {}, make("h2", {}, n.node), make(`span.kind-name.${n.kind}`, {}, KINDS[n.kind])),
    make("p.comment", {}, n.comment || "It has no COMMENT."),
    make("dl.parts", {},
      n.table_rows === null ? "" : make("div", {}, make("dt", {}, "Rows"), make("dd", {}, rowsOf(n))),
      n.pipeline ? make("div", {}, make("dt", {}, "Pipeline"), make("dd", {}, n.pipeline)) : "",
      list("Comes from", nextOf(data.edges, node, false).sort()),
      list("Goes to", nextOf(data.edges, node, true).sort())),
    n.definition ? make("pre", { tabindex: "0", "aria-label": `Definition of ${n.node}` }, n.definition) : "");
}
