// The view of the pipeline: what ran, what failed, what waits.
"use strict";

const BACKUPS = { logical: "logical backup", physical: "physical backup", verify: "verification of a backup", restore: "restore" };
const RUN_COLORS = { succeeded: "ok", failed: "bad", canceled: "bad", aborted: "bad", running: "busy" };

// What needs attention, the worst first: {level, title, text, detail}.
function problems() {
  const found = [];
  for (const p of data.pipelines) {
    if (p.last_status && p.last_status !== "succeeded") {
      found.push({
        level: "bad",
        title: `Pipeline ${p.pipeline} ${p.last_status}`,
        text: p.last_error || "",
        detail: [`Run ${p.last_run_id} ended ${since(p.last_finished_at)}.`,
          p.last_success_at ? `The last success was ${since(p.last_success_at)}; readers see what was captured then.` : "No run has succeeded yet.",
          p.next_attempt_at ? `It waits until ${when(p.next_attempt_at)} before it tries again.` : ""].join(" "),
      });
    }
    if (p.slot_lag_warning) found.push({ level: "warn", title: `Pipeline ${p.pipeline} is behind its source`, text: `Its slot has still to deliver ${bytes(p.slot_lag_bytes)} of WAL.`, detail: "" });
    if (p.paused) found.push({ level: "warn", title: `Pipeline ${p.pipeline} is paused`, text: p.pause_reason || "", detail: "" });
  }
  const isSaid = (c) => c.status === "failed" && data.pipelines.some((p) => p.pipeline === c.pipeline && p.last_status === "failed" && p.last_run_id === c.run_id);
  for (const c of data.checks.filter((check) => check.enabled && (check.status === "warned" || check.status === "failed") && !isSaid(check))) {
    found.push({ level: c.status === "failed" ? "bad" : "warn", title: `Check ${c.check_name} of ${c.pipeline} ${c.status}`, text: `It found ${plural(c.rows_found, "row", "rows")}.`, detail: c.status === "failed" ? "The publish was stopped." : "" });
  }
  for (const [kind, name] of Object.entries(BACKUPS)) {
    const last = data.backups.find((b) => b.kind === kind && b.status !== "running");
    if (last && last.status === "failed") found.push({ level: "bad", title: `The last ${name} failed`, text: last.message || "", detail: `It ended ${since(last.finished_at)}.` });
  }
  return found.sort((a, b) => (a.level === b.level ? 0 : a.level === "bad" ? -1 : 1));
}

function showBanner() {
  const found = problems();
  const bad = found.filter((problem) => problem.level === "bad").length;
  $("alarm").hidden = found.length === 0;
  $("alarm").classList.toggle("warn", bad === 0);
  $("alarm").replaceChildren(String(found.length), make("span.hidden", {}, found.length === 1 ? " thing needs attention" : " things need attention"));
  $("banner").hidden = found.length === 0;
  $("banner").replaceChildren(...found.slice(0, 4).map((problem) => make(`div.problem.${problem.level}`, {},
    make("span.sign", { "aria-hidden": "true" }, "!"),
    make("div", {}, make("p", {}, make("strong", {}, problem.title), " ", make("span.why", {}, problem.text)), problem.detail ? make("p.muted", {}, problem.detail) : ""),
    make("button.quiet", { onclick: () => go("pipeline", true) }, "Look"))),
    found.length > 4 ? make("p.muted.and", {}, `and ${integer.format(found.length - 4)} more`) : "");
}

function fact(name, value, sub, level) {
  return make(level ? `div.fact.${level}` : "div.fact", {}, make("dt", {}, name), make("dd", {}, value), sub ? make("dd.sub.muted", {}, sub) : "");
}

function showPipelines() {
  $("pipelines").replaceChildren(...data.pipelines.map((p) => make("article.card.pipe", { "data-pipeline": p.pipeline },
    make("header", {}, make("h2", {}, p.pipeline), p.running_since ? status("running") : p.paused ? make("span.status.warn", {}, make("span.dot", { "aria-hidden": "true" }), "paused") : p.last_status ? status(p.last_status) : make("span.status.idle", {}, make("span.dot", { "aria-hidden": "true" }), "never run")),
    make("dl.facts", {},
      fact("Freshness", p.freshness_seconds === null ? "\u2013" : duration(p.freshness_seconds), p.captured_at ? `captured ${when(p.captured_at)}` : "nothing was published yet"),
      fact("Last run", p.last_finished_at ? since(p.last_finished_at) : "\u2013", p.last_run_id ? `run ${p.last_run_id}` : ""),
      fact("Next run", p.next_run_at ? since(p.next_run_at) : "\u2013", p.schedule ? `schedule ${p.schedule}` : "no schedule"),
      fact("Waiting", integer.format(p.pending_changes), "changes not yet published", p.pending_changes > 0 ? "busy" : ""),
      fact("Quarantine", integer.format(p.quarantined), p.quarantined === 1 ? "row" : "rows", p.quarantined > 0 ? "warn" : ""),
      fact("Slot lag", p.slot_lag_bytes === null ? "\u2013" : bytes(p.slot_lag_bytes), p.slot_lag_bytes === null ? "no slot" : `read ${duration(p.slot_lag_seconds)} before`, p.slot_lag_warning ? "bad" : ""),
      p.failures > 0 ? fact("Failures in a row", integer.format(p.failures), p.next_attempt_at ? `next attempt ${when(p.next_attempt_at)}` : "", "bad") : ""))),
    data.pipelines.length === 0 ? make("article.card", {}, nothing("No pipeline is registered yet. Register a table with call etl.add_table(\u2026) and run it with call etl.run().")) : "");
}

function showRuns() {
  const runs = data.runs;
  const recent = [...runs].reverse();
  $("sub-runs").textContent = runs.length ? `Duration of the last ${plural(runs.length, "run", "runs")}; skipped ones are left out` : "";
  $("chart-runs").hidden = runs.length === 0;
  if (runs.length === 0) {
    $("runs").replaceChildren(nothing("Nothing has run yet."));
    return;
  }
  const chart = draw("chart-runs", `Duration of the last ${runs.length} runs, ${runs.filter((r) => r.status === "failed").length} of which failed. The table below has them.`, {
    grid: { left: 8, right: 8, top: 10, bottom: 4, containLabel: true },
    xAxis: { type: "category", data: recent.map((r) => String(r.run_id)), ...axisStyle(), splitLine: { show: false }, axisLabel: { ...axisStyle().axisLabel, hideOverlap: true } },
    yAxis: { type: "value", ...axisStyle(), axisLine: { show: false }, splitNumber: 3, axisLabel: { ...axisStyle().axisLabel, formatter: (n) => duration(n) } },
    tooltip: { trigger: "axis", axisPointer: { type: "shadow", shadowStyle: { color: color("hover") } }, ...tooltipStyle(), formatter: (items) => { const r = recent[items[0].dataIndex]; return tip(`Run ${r.run_id}, ${r.pipeline}`, ["Outcome", r.status], ["Took", duration(r.seconds)], ["Published", integer.format(r.rows_published)]); } },
    series: [{ type: "bar", barMaxWidth: 28, barMinHeight: 3, barCategoryGap: "25%", data: recent.map((r) => ({ value: r.seconds, itemStyle: { color: color(RUN_COLORS[r.status] || "muted"), borderRadius: [3, 3, 0, 0], opacity: r.status === "succeeded" ? 0.75 : 1 } })) }],
  });
  keys("chart-runs", () => recent.length, (at) => {
    chart.dispatchAction({ type: "showTip", seriesIndex: 0, dataIndex: at });
    return `Run ${recent[at].run_id} of ${recent[at].pipeline} ${recent[at].status}, took ${duration(recent[at].seconds)}`;
  }, () => {});
  const list = (rows) => table("Last runs", [
    { title: "Run", number: true, value: (r) => String(r.run_id) },
    { title: "Outcome", value: (r) => status(r.status) },
    { title: "Pipeline", value: (r) => r.pipeline },
    { title: "Action", value: (r) => (r.dry_run ? `${r.action}, dry` : r.action) },
    { title: "From", value: (r) => r.started_from },
    { title: "Started", value: (r) => when(r.started_at) },
    { title: "Took", number: true, value: (r) => duration(r.seconds) },
    { title: "Read", number: true, value: (r) => integer.format(r.rows_read) },
    { title: "Captured", number: true, value: (r) => integer.format(r.rows_captured) },
    { title: "Published", number: true, value: (r) => integer.format(r.rows_published) },
    { title: "Quarantined", number: true, value: (r) => integer.format(r.rows_quarantined) },
    { title: "Message", wide: true, value: (r) => (r.status === "succeeded" ? "" : r.message || "") },
  ], rows, (r) => ({ class: RUN_COLORS[r.status] === "bad" ? "bad" : null, "data-run": r.run_id }));
  const few = runs.slice(0, 8);
  $("runs").replaceChildren(list(few), runs.length > few.length ? make("button.more", { onclick: () => { $("runs").replaceChildren(list(runs)); $("runs").firstElementChild.focus(); } }, `Show all ${integer.format(runs.length)}`) : "");
}

// Errors of one kind are one entry: the newest, with how many they are and since when.
function kindsOfErrors() {
  const kinds = new Map();
  for (const e of data.errors) {
    const key = JSON.stringify([e.pipeline, e.step, e.routine, e.sqlstate, e.message]);
    const kind = kinds.get(key);
    if (kind) { kind.times += 1; kind.first_at = e.occurred_at; } else kinds.set(key, { ...e, times: 1, first_at: e.occurred_at });
  }
  return [...kinds.values()];
}

function showErrors() {
  const errors = kindsOfErrors();
  $("sub-errors").textContent = errors.length ? `The newest first, of the last ${plural(data.errors.length, "one", "ones")} in the log` : "";
  $("errors").replaceChildren(data.errors.length === 0 ? nothing("No error is in the log.") : make("ul.errors", {}, ...errors.map((e, at) => make("li", {}, make("details", { open: at === 0 && problems().some((p) => p.level === "bad") },
    make("summary", {}, make("code.state", {}, e.sqlstate), make("span.text", {}, e.message), e.times > 1 ? make("span.times", {}, `${integer.format(e.times)}\u00d7`) : "", make("span.muted.where", {}, [e.pipeline, e.step, e.run_id ? `run ${e.run_id}` : null, since(e.occurred_at)].filter(Boolean).join(" \u00b7 "))),
    make("dl.parts", {},
      ...[["When", e.times > 1 ? `${when(e.occurred_at)}, first ${since(e.first_at)}` : when(e.occurred_at)], ["Routine", e.routine], ["Detail", e.detail], ["Hint", e.hint]].filter(([, v]) => v).map(([k, v]) => make("div", {}, make("dt", {}, k), make("dd", {}, v))),
      e.context ? make("div", {}, make("dt", {}, "Context"), make("dd", {}, make("pre", { tabindex: "0" }, e.context))) : ""))))));
}

function sampleTable(sample, caption) {
  const names = [...new Set(sample.flatMap((row) => Object.keys(row)))];
  return table(caption, names.map((name) => ({ title: name, value: (row) => (row[name] === null || row[name] === undefined ? make("span.null", {}, "null") : typeof row[name] === "object" ? JSON.stringify(row[name]) : String(row[name])) })), sample);
}

function showQuarantine() {
  const rows = data.quarantine;
  const total = rows.reduce((sum, row) => sum + row.quarantined_rows, 0);
  $("sub-quarantine").textContent = rows.length ? `${plural(total, "row waits", "rows wait")} until the source mends ${total === 1 ? "it" : "them"}` : "";
  $("quarantine").replaceChildren(rows.length === 0 ? nothing("No row is in quarantine.") : make("ul.errors", {}, ...rows.map((q) => make("li", {}, make("details", {},
    make("summary", {}, make("span.count", {}, integer.format(q.quarantined_rows)), make("span.text", {}, q.reason), make("span.muted.where", {}, [`mrr.${q.mirror}`, q.pipeline, `last ${since(q.last_at)}`].filter(Boolean).join(" \u00b7 "))),
    q.sample && q.sample.length ? sampleTable(q.sample, `Newest rows in quarantine because ${q.reason}`) : nothing("Readers are shown no rows here: etl.settings.reader_samples is none.") )))));
  if (rows.length && data.samples === "masked") $("quarantine").append(make("p.muted.aside", {}, "Text in the samples is withheld from readers; etl.settings.reader_samples says so."));
}

function showLayers() {
  const names = { source: "Source", mrr: "Mirror", stg: "Staging", dwh: "Star" };
  const most = Math.max(...data.layers.map((l) => l.table_rows || 0), 1);
  $("layers").replaceChildren(data.layers.length === 0 ? nothing("No table is registered yet.") : table("Rows per layer", [
    { title: "Layer", value: (l) => (data.layers.find((x) => x.layer === l.layer) === l ? make("strong", {}, names[l.layer]) : make("span.hidden", {}, names[l.layer])) },
    { title: "Table", value: (l) => l.table_name },
    { title: "Rows", number: true, value: (l) => (l.table_rows === null ? "\u2013" : `${l.is_estimate ? "\u2248\u00a0" : ""}${integer.format(l.table_rows)}`) },
    { title: "", value: (l) => bar((l.table_rows || 0) / most) },
  ], data.layers, (l) => ({ class: data.layers.find((x) => x.layer === l.layer) === l ? "first" : null })));
}

function showChecks() {
  $("checks").replaceChildren(data.checks.length === 0 ? nothing("No check is registered: call etl.add_check(\u2026).") : table("Checks", [
    { title: "Check", value: (c) => make("div", {}, make("div", {}, c.check_name), make("div.muted", {}, `${c.pipeline}, ${c.severity}${c.enabled ? "" : ", switched off"}`)) },
    { title: "Outcome", value: (c) => (c.status ? status(c.status) : "not run yet") },
    { title: "Rows", number: true, value: (c) => (c.rows_found === null ? "\u2013" : integer.format(c.rows_found)) },
    { title: "When", value: (c) => (c.checked_at ? since(c.checked_at) : "\u2013") },
  ], data.checks));
  for (const c of data.checks.filter((check) => check.rows_found > 0 && check.sample)) {
    $("checks").append(make("details", {}, make("summary", {}, `Rows that ${c.check_name} found`), sampleTable(c.sample, `Rows that ${c.check_name} found`)));
  }
}

function showBackups() {
  $("backups").replaceChildren(data.backups.length === 0 ? nothing("No backup is logged here.") : table("Backups", [
    { title: "What", value: (b) => b.kind },
    { title: "Outcome", value: (b) => status(b.status) },
    { title: "When", value: (b) => since(b.finished_at || b.started_at) },
    { title: "Took", number: true, value: (b) => duration(b.seconds) },
    { title: "Size", number: true, value: (b) => bytes(b.bytes) },
  ], data.backups));
}

function showPipeline() {
  showPipelines();
  showRuns();
  showErrors();
  showQuarantine();
  showLayers();
  showChecks();
  showBackups();
}
