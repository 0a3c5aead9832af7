"""The dashboard in a real browser, against a running warehouse: it shows what SQL says, before and after a click."""

from __future__ import annotations

import hashlib
import http.client
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest
from alembic import command
from playwright.sync_api import Browser, Page, sync_playwright

from db import dashboard as served
from db.home import Choices, Home
from migrations import dashboard
from tests.conftest import ROOT, SAMPLE, alembic, register
from tests.psql import psql
from tests.support import Database, Flow, raises
from tests.test_own_model import SHOPS, STAR

FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip
NASTY = (
    "<script>window.hacked = 1</script>",
    "</script><script>window.hacked = 2</script>",
    '<img src=x onerror="window.hacked = 3"> & \'quoted\' "words"',
    "{a|b} \\u003c @@data@@ \u2028 Ærøskøbing 茶",
)
# What a reader would see of the relation of a text's colour to that of what is behind it; WCAG's formula.
CONTRAST = """
() => {
  const parse = (text) => {
    const m = text.match(/[\\d.]+/g).map(Number);
    return { rgb: m.slice(0, 3), a: m.length > 3 ? m[3] : 1 };
  };
  const over = (top, below) => top.rgb.map((v, i) => v * top.a + below[i] * (1 - top.a));
  const light = (rgb) => {
    const [r, g, b] = rgb.map((v) => v / 255).map((v) => (v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const found = [];
  for (const element of document.querySelectorAll("body *")) {
    const own = [...element.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim());
    if (!own || !element.checkVisibility({ opacityProperty: true, visibilityProperty: true })) continue;
    if (element.closest(".hidden, .skip, .view-title, script, style, noscript, .out, [aria-hidden=true]")) continue;
    let back = { rgb: [255, 255, 255], a: 1 };
    const chain = [];
    for (let e = element; e; e = e.parentElement) chain.unshift(e);
    let behind = [255, 255, 255];
    let opacity = 1;
    for (const e of chain) {
      const style = getComputedStyle(e);
      opacity *= Number(style.opacity);
      if (e instanceof SVGElement) continue;
      back = parse(style.backgroundColor);
      behind = over(back, behind);
    }
    const style = getComputedStyle(element);
    const isSvg = element instanceof SVGElement;
    if (isSvg) {
      const rect = element.closest(".box")?.querySelector("rect");
      if (rect) behind = over(parse(getComputedStyle(rect).fill), behind);
    }
    const ink = parse(isSvg ? style.fill : style.color);
    const seen = over({ rgb: ink.rgb, a: ink.a * opacity }, behind);
    const [a, b] = [light(seen), light(behind)].sort((x, y) => y - x);
    const ratio = (a + 0.05) / (b + 0.05);
    const name = element.className.baseVal ?? element.className;
    if (ratio < 4.5) found.push(`${name} "${element.textContent.trim().slice(0, 30)}" ${ratio.toFixed(2)}`);
  }
  return found;
}
"""
# Elements that a screen reader would meet without a name.
NAMELESS = """
() => [...document.querySelectorAll(
  "button, input, summary, [role=img], [role=button], [role=region], table"
)].filter((e) => {
  if (!e.checkVisibility()) return false;
  const label = e.getAttribute("aria-label") || e.labels?.[0]?.textContent || e.caption?.textContent || e.textContent;
  return !label?.trim();
}).map((e) => e.outerHTML.slice(0, 120))
"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Start one Chromium for all tests of this file."""
    chromium = shutil.which("chromium")
    assert chromium, "chromium is missing; python3 bootstrap.py test installs it"
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        yield started
        started.close()


@contextmanager
def serving(warehouse: Database) -> Iterator[str]:
    """Serve a warehouse's dashboard as ``bootstrap.py dashboard`` does, and give its address."""
    server = served.Server(0, warehouse.dsn_of("headrace_reader", warehouse.server.passwords["headrace_reader"]))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield server.url
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def opened(browser: Browser, url: str, **context: Any) -> Iterator[Page]:
    """Open a page, and fail if it says anything on the console or asks anybody else."""
    options = {"viewport": {"width": 1280, "height": 900}, "locale": "en-GB", "timezone_id": "UTC", **context}
    own = url.split("#")[0].rsplit("/", 1)[0]
    said: list[str] = []
    with browser.new_context(**options) as made:
        page = made.new_page()
        page.set_default_timeout(10_000)
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("request", lambda sent: said.append(sent.url) if not sent.url.startswith((own, "data:")) else None)
        page.goto(url)
        page.wait_for_selector("body[data-started]")
        settle(page)
        yield page
        assert said == []


def stored(warehouse: Database, folder: Path) -> str:
    """Store the page as a file, as cron would, and give its address."""
    file = folder / "dashboard.html"
    done = psql(warehouse, "-At", "-c", "select dwh.dashboard()", "-o", str(file), PGCLIENTENCODING="UTF8")
    assert (done.returncode, done.stderr) == (0, "")
    return file.as_uri()


def date_back(warehouse: Database, days: str) -> None:
    """Let sales seem some days older, in each aggregate that has days."""
    warehouse.execute(
        f"update dwh.sales_by_day set captured_on = captured_on - {days}; delete from dwh.sales_by_group;"
        " insert into dwh.sales_by_group (product_group, captured_on, country, lines, units)"
        " select product_group, day, country, sum(lines), sum(units) from dwh.metric_sales group by 1, 2, 3"
    )


def fill(flow: Flow) -> None:
    """Sell in several countries, groups and, as the warehouse has it, on several days."""
    flow.operational.execute(
        """
        insert into public.customers
          select n, 'Customer ' || n, (array['Peru', 'Oman', 'Fiji', null])[1 + n % 4] from generate_series(1, 40) n;
        insert into public.products
          select n, 'Product ' || n, (array['Tools', 'Food', 'Toys'])[1 + n % 3] from generate_series(1, 30) n;
        insert into public.sales
          select 1 + (hashint4(n) & 65535) % 40, 1 + (hashint4(n + 7000) & 65535) % 30, 1 + n % 5
          from generate_series(1, 1500) n;
        insert into public.sales values (1, 1, 0), (null, 2, 5);
        """
    )
    flow.run()
    date_back(flow.warehouse, "(product_key % 4)::int")
    flow.warehouse.execute("update dwh.dim_customer set valid_from = valid_from - (customer_id % 3) * interval '1 day'")


@pytest.fixture
def filled(sales: Flow) -> Flow:
    """Return a warehouse with sales, to do anything with."""
    fill(sales)
    return sales


@pytest.fixture(scope="module")
def shown(
    cloned_operational: Callable[[], AbstractContextManager[Database]],
    cloned_warehouse: Callable[[], AbstractContextManager[Database]],
) -> Iterator[Flow]:
    """Return a warehouse with sales that several tests look at, and none changes."""
    with cloned_operational() as operational, cloned_warehouse() as warehouse:
        flow = register(operational, warehouse, *SAMPLE)
        fill(flow)
        yield flow


def number(text: str | None) -> int:
    """Return the whole number that a text shows."""
    return int(re.sub(r"\D", "", text or ""))


def kpi(page: Page, name: str) -> str:
    """Return one of the large figures."""
    return page.text_content(f"#kpi-{name} dd") or ""


def ranks(page: Page, dim: str) -> list[tuple[str, int]]:
    """Return names and values of a ranked list, opened to its end."""
    while (more := page.locator(f"#list-{dim} .more", has_text="more")).count():
        more.click()
    texts = page.eval_on_selector_all(
        f"#list-{dim} .rank",
        "e => e.map(r => [r.querySelector('.name').textContent, r.querySelector('.value').textContent])",
    )
    return [(name, number(value)) for name, value in texts]


def rank(page: Page, dim: str, name: str) -> None:
    """Click a name in a ranked list, and wait until the page has taken it."""
    button = page.locator(f"#list-{dim} .rank", has=page.get_by_text(name, exact=True))
    was = button.get_attribute("aria-pressed")
    button.click()
    page.wait_for_selector(f"#list-{dim} .rank[aria-pressed={'false' if was == 'true' else 'true'}] >> text='{name}'")
    settle(page)


def settle(page: Page) -> None:
    """Wait until no figure is awaited."""
    page.wait_for_function("() => settled === asked")


DIMS = {"country": "country", "group": "product_group", "product": "product"}


def assert_page_equals_sql(page: Page, warehouse: Database, measure: str = "units", **where: str) -> None:
    """Compare the figures, each list without its own filter, the days and the heat map with what SQL says.

    Args:
        page: the page.
        warehouse: what it shows.
        measure: units or lines.
        where: conditions by dimension: day, country, group, product.
    """

    def rows(columns: str, group: str, *without: str) -> list[tuple[Any, ...]]:
        conditions = " and ".join(["true", *(text for dim, text in where.items() if dim not in without)])
        return warehouse.query(f"select {columns} from dwh.metric_sales where {conditions} {group}")

    ((units, lines),) = rows("coalesce(sum(units), 0)::bigint, coalesce(sum(lines), 0)::bigint", "")
    assert (number(kpi(page, "units")), number(kpi(page, "lines"))) == (units, lines)
    assert kpi(page, "ratio") == (f"{units / lines:.2f}" if lines else "\u2013")
    best = rows("product, sum(units)", "group by 1 order by 2 desc, 1 limit 1")
    assert kpi(page, "best") == (best[0][0] if best else "\u2013")
    for dim, column in DIMS.items():
        expected = rows(f"{column}, sum({measure})::bigint", "group by 1 order by 2 desc, 1", dim)
        assert [row for row in ranks(page, dim) if row[1]] == expected, dim
    page.evaluate("document.querySelectorAll('#sales details.instead').forEach(d => d.open = true)")
    page.wait_for_selector("#card-heat details table")
    cells = page.eval_on_selector_all("#card-heat tbody tr", "e => e.map(r => [...r.cells].map(c => c.textContent))")
    assert sorted((c, g, number(u), number(n)) for c, g, u, n in cells) == sorted(
        rows("country, product_group, sum(units)::bigint, sum(lines)::bigint", "group by 1, 2", "country", "group")
    )
    days = page.eval_on_selector_all("#card-day tbody tr", "e => e.map(r => r.cells[1].textContent)")
    assert [n for n in map(number, days) if n] == [
        n for (_, n) in rows("day, sum(units)::bigint", "group by 1 order by 1", "day")
    ]
    page.evaluate("document.querySelectorAll('#sales details.instead').forEach(d => d.open = false)")
    only = " and ".join(["true", *(text for dim, text in where.items() if dim in ("day", "country"))])
    new = warehouse.value(f"select coalesce(sum(customers), 0)::bigint from dwh.metric_new_customers where {only}")
    assert number(kpi(page, "customers")) == new


def click_through(page: Page, warehouse: Database) -> None:
    """Compare before any click, then filter in each way, alone and together, and compare after each."""
    assert_page_equals_sql(page, warehouse)
    rank(page, "country", "Peru")
    assert_page_equals_sql(page, warehouse, country="country = 'Peru'")
    rank(page, "country", "(unknown)")
    where = {"country": "country in ('Peru', '(unknown)')"}
    assert_page_equals_sql(page, warehouse, **where)
    rank(page, "group", "Tools")
    where["group"] = "product_group = 'Tools'"
    assert_page_equals_sql(page, warehouse, **where)
    first, last = warehouse.row("select min(captured_on) + 1, max(captured_on) - 1 from dwh.sales_by_day")
    page.fill("#from", str(first))
    page.fill("#to", str(last))
    settle(page)
    where["day"] = f"day between '{first}' and '{last}'"
    assert_page_equals_sql(page, warehouse, **where)
    page.get_by_text("Lines", exact=True).first.click()
    settle(page)
    assert_page_equals_sql(page, warehouse, "lines", **where)
    page.get_by_text("Units", exact=True).first.click()
    name = ranks(page, "product")[0][0]
    rank(page, "product", name)
    where["product"] = f"product = '{name}'"
    assert_page_equals_sql(page, warehouse, **where)
    page.click("#chips .clear")
    settle(page)
    assert_page_equals_sql(page, warehouse)


# ---------------------------------------------------------------------------------------------------------------------
# Figures
# ---------------------------------------------------------------------------------------------------------------------
def test_figures_equal_sql_before_and_after_clicking(shown: Flow, browser: Browser) -> None:
    """The live page is served by the read-only role, and filters are exact."""
    with serving(shown.warehouse) as url, opened(browser, url) as page:
        click_through(page, shown.warehouse)
        assert kpi(page, "best") == shown.warehouse.value("select dwh.most_popular_product()")


def test_a_page_that_carries_less_asks_the_server(filled: Flow, browser: Browser) -> None:
    """Beyond the bound the page has coarse cubes, and the live one is as exact as before."""
    filled.warehouse.execute("update etl.settings set dashboard_cells = 100")
    with serving(filled.warehouse) as url, opened(browser, url) as page:
        assert page.evaluate("[sales.is_complete, sales.is_partial, sales.grain]") == [False, True, "day"]
        asked: list[str] = []
        page.on("request", lambda sent: asked.append(sent.url))
        click_through(page, filled.warehouse)
        assert asked


def test_a_stored_page_that_carries_less_says_what_it_cannot_tell(
    filled: Flow, browser: Browser, tmp_path: Path
) -> None:
    """What its cubes can tell is exact; the rest is left out with the reason, and nothing is guessed."""
    filled.warehouse.execute("update etl.settings set dashboard_cells = 100")
    with opened(browser, stored(filled.warehouse, tmp_path)) as page:
        assert page.locator("#note").is_hidden()
        rank(page, "country", "Peru")
        assert "cannot tell products" in (page.text_content("#note") or "")
        assert page.locator("#list-product .rank").count() == 0
        units = filled.warehouse.value("select sum(units)::bigint from dwh.metric_sales where country = 'Peru'")
        assert number(kpi(page, "units")) == units
        assert kpi(page, "best") == "\u2013"


def test_grain_follows_the_bound(filled: Flow) -> None:
    """No cube of days, countries and groups is larger than the bound while its grain can still be coarsened."""
    date_back(filled.warehouse, "7 * (product_key % 5)::int")
    total = filled.warehouse.value("select sum(units)::bigint from dwh.sales_by_day")
    for cells, grain in ((100, "week"), (60, "month"), (30, "quarter")):
        filled.warehouse.execute("update etl.settings set dashboard_cells = %s", [cells])
        sales = filled.warehouse.value("select dwh.dashboard_sales()")
        assert sales["grain"] == grain
        assert len(sales["cubes"][0]["units"]) <= cells
        assert sum(sales["cubes"][0]["units"]) == total


def test_a_page_beyond_the_bound_reads_no_more_of_the_large_aggregate_than_the_bound(filled: Flow) -> None:
    """Its cost does not follow the rows by day, country and product: those are only counted up to the bound."""
    filled.warehouse.execute("update etl.settings set dashboard_cells = 10")
    read = (
        "select t.seq_tup_read + coalesce(t.idx_tup_fetch, 0) from pg_stat_xact_user_tables t"
        " where t.relname = 'sales_by_day'"
    )
    with filled.warehouse.connection.transaction():
        rows = filled.warehouse.value("select count(*) from dwh.sales_by_day")
        counted = filled.warehouse.value(read)
        assert counted >= rows > 50, "the measure does not count"
        filled.warehouse.execute("select dwh.dashboard_sales()")
        assert filled.warehouse.value(read) - counted <= 10 + 1 + 2


def test_a_cut_is_settled_among_equals(filled: Flow) -> None:
    """Of products with equal units those with the lower ids are carried, however the rows lie."""
    filled.warehouse.execute("update dwh.sales_by_product set units = 7")
    ids = filled.warehouse.query("select format('op:%s', n) from generate_series(1, 5) n")
    cube = "select dwh.dashboard_cube('{product}', 'day', '{}', 5)"
    for order in ("product_key", "product_key desc"):
        filled.warehouse.execute(
            f"create temp table kept as select * from dwh.sales_by_product order by {order};"
            " truncate dwh.sales_by_product; insert into dwh.sales_by_product select * from kept; drop table kept"
        )
        carried = filled.warehouse.value(cube)["values"]["product"]
        assert [(key,) for key, _ in carried] == ids


def test_the_most_popular_product_of_what_has_no_group(filled: Flow) -> None:
    """What the page calls (unknown) can be asked for by that name."""
    filled.operational.execute("insert into public.sales values (1, 77, 9), (2, 88, 8)")
    filled.run()
    assert filled.warehouse.value("select dwh.most_popular_product(product_group => '(unknown)')") == "(product 77)"
    assert filled.warehouse.value("select dwh.most_popular_product('(unknown)', '(unknown)')") is None


def test_clicks_on_the_charts_filter(shown: Flow, browser: Browser, tmp_path: Path) -> None:
    """A click on a day and on a cell of the heat map filters, in a page from a file; the same click takes it back."""
    with opened(browser, stored(shown.warehouse, tmp_path)) as page:
        box = page.locator("#chart-day").bounding_box()
        assert box is not None
        x, y = box["width"] * 0.9, box["height"] * 0.5
        page.click("#chart-day", position={"x": x, "y": y})
        settle(page)
        last = shown.warehouse.value("select max(captured_on) from dwh.sales_by_day")
        assert page.input_value("#from") == page.input_value("#to") == str(last)
        assert_page_equals_sql(page, shown.warehouse, day=f"day = '{last}'")
        page.click("#chart-day", position={"x": x, "y": y})
        settle(page)
        assert page.input_value("#from") == ""
        page.locator("#chart-heat").scroll_into_view_if_needed()
        box = page.locator("#chart-heat").bounding_box()
        assert box is not None
        page.click("#chart-heat", position={"x": box["width"] * 0.5, "y": 15})
        settle(page)
        country, group = page.evaluate("[[...filter.country][0], [...filter.group][0]]")
        assert page.locator("#chips .chip").count() == 2
        assert_page_equals_sql(
            page, shown.warehouse, country=f"country = '{country}'", group=f"product_group = '{group}'"
        )


# ---------------------------------------------------------------------------------------------------------------------
# What is shown
# ---------------------------------------------------------------------------------------------------------------------
def test_names_are_shown_and_never_run(sales: Flow, browser: Browser, tmp_path: Path) -> None:
    """Products, groups and countries that look like markup are names, in the lists, tables, tips and filters."""
    for at, name in enumerate(NASTY, 1):
        sales.operational.execute("insert into public.customers values (%s, %s, %s)", [at, name, name])
        sales.operational.execute("insert into public.products values (%s, %s, %s)", [at, name, name])
        sales.operational.execute("insert into public.sales values (%s, %s, %s)", [at, at, 10 - at])
    sales.run()
    kept = {name for (name,) in sales.warehouse.query("select name from dwh.dim_product")}
    with opened(browser, stored(sales.warehouse, tmp_path)) as page:
        assert {name for name, _ in ranks(page, "product")} == kept == set(NASTY)
        assert {name for name, _ in ranks(page, "country")} == kept
        for name in NASTY:
            page.locator("#list-product .rank").filter(has_text=name).click()
        assert page.locator("#chips .chip").count() == len(NASTY)
        assert_page_equals_sql(page, sales.warehouse)
        for at in range(4):
            page.focus("#chart-heat")
            page.keyboard.press("ArrowRight")
            assert page.evaluate("document.querySelectorAll('.tip').length") >= 1, at
        assert page.evaluate("window.hacked") is None
        assert page.evaluate("document.querySelectorAll('img').length") == 0
        assert page.evaluate("document.scripts.length") == (ROOT / "dashboard/web/index.html").read_text().count(
            "<script"
        )


def test_policy_lets_nothing_else_run_or_leave(shown: Flow, browser: Browser, tmp_path: Path) -> None:
    """A script that got in would not run, and a stored page can ask nobody: not even its own origin."""
    url = stored(shown.warehouse, tmp_path)
    with browser.new_context() as made:
        page = made.new_page()
        page.goto(url)
        page.evaluate(
            """() => {
                const script = document.createElement("script");
                script.textContent = "window.hacked = 1";
                document.body.append(script);
                document.body.insertAdjacentHTML("beforeend", "<img src=x onerror='window.hacked = 2'>");
            }"""
        )
        page.wait_for_timeout(100)
        assert page.evaluate("window.hacked") is None
        refused = "u => fetch(u).then(() => 'came', () => 'refused')"
        assert page.evaluate(refused, "http://127.0.0.1:9/") == "refused"
        policy = page.get_attribute("meta[http-equiv=Content-Security-Policy]", "content") or ""
        assert "connect-src 'none'" in policy
        assert "@@" not in policy


def test_empty_warehouse(warehouse: Database, browser: Browser, tmp_path: Path) -> None:
    """Before anything is registered the page says so, in each view."""
    with opened(browser, stored(warehouse, tmp_path)) as page:
        assert (kpi(page, "units"), kpi(page, "ratio"), kpi(page, "best")) == ("0", "\u2013", "\u2013")
        assert "Nothing was sold" in (page.text_content("#card-day") or "")
        assert page.locator("#banner").is_hidden()
        page.click("#tab-pipeline")
        assert "Nothing has run yet" in (page.text_content("#pipeline") or "")
        page.click("#tab-lineage")
        assert page.locator("#picture").is_visible()
        assert page.evaluate(CONTRAST) == []


def test_one_sale(sales: Flow, browser: Browser, tmp_path: Path) -> None:
    """One sale is one bar, one cell, one name in each list, and 100 %."""
    sales.operational.execute(
        "insert into public.customers values (1, 'Ada', 'Peru');"
        " insert into public.products values (1, 'Saw', 'Tools'); insert into public.sales values (1, 1, 3)"
    )
    sales.run()
    with opened(browser, stored(sales.warehouse, tmp_path)) as page:
        assert_page_equals_sql(page, sales.warehouse)
        assert [ranks(page, dim) for dim in DIMS] == [[("Peru", 3)], [("Tools", 3)], [("Saw", 3)]]
        assert page.locator("#list-country .share").all_text_contents() == ["100.0%"]
        rank(page, "product", "Saw")
        assert_page_equals_sql(page, sales.warehouse, product="product = 'Saw'")


def test_a_failed_run_is_what_the_eye_meets_first(filled: Flow, browser: Browser, tmp_path: Path) -> None:
    """It is above everything else in every view, with the reason, and leads to the error and its context."""
    filled.operational.execute("alter table public.products rename to gone")
    with pytest.raises(psycopg.Error):
        filled.run()
    with opened(browser, stored(filled.warehouse, tmp_path)) as page:
        banner = page.locator("#banner")
        assert "Pipeline sales failed" in banner.inner_text()
        box = banner.bounding_box()
        assert box is not None
        assert box["y"] < 200
        page.click("#banner button")
        assert page.locator("#pipeline").is_visible()
        error = filled.warehouse.row("select sqlstate, context from dwh.metric_error order by error_id desc limit 1")
        text = page.locator("#errors").inner_text()
        assert error[0] in text
        assert error[1].splitlines()[0] in text
        assert page.locator("#runs tr.bad").count() == 1
        assert page.evaluate(CONTRAST) == []
        page.set_viewport_size({"width": 390, "height": 800})
        page.wait_for_function(
            "() => document.scrollingElement.scrollWidth <= innerWidth"
        )  # once the charts have followed


def test_pipeline_view_shows_what_the_log_says(filled: Flow, browser: Browser, tmp_path: Path) -> None:
    """Runs, rows per run and layer, quarantine with samples and checks."""
    filled.warehouse.execute(
        "call etl.add_check('sales', 'no Fiji', 'warn',"
        " $$select name, country from dwh.dim_customer where country = 'Fiji'$$)"
    )
    filled.operational.execute("insert into public.sales values (1, 1, 1)")
    filled.run()
    with opened(browser, stored(filled.warehouse, tmp_path) + "#view-pipeline") as page:
        shown = page.eval_on_selector_all("#runs tbody tr", "e => e.map(r => [...r.cells].map(c => c.textContent))")
        assert [(number(r[0]), r[1], number(r[8]), number(r[9])) for r in shown] == filled.warehouse.query(
            "select run_id, status, rows_captured, rows_published from dwh.metric_run order by run_id desc"
        )
        text = page.locator("#pipeline").inner_text()
        assert "the sale has no customer" in text
        assert "the quantity is not positive" in text
        assert "Check no Fiji of sales warned" in page.locator("#banner").inner_text()
        page.click("#quarantine summary >> nth=0")
        assert "customerid" in page.locator("#quarantine").inner_text()
        layers = page.locator("#layers").inner_text()
        facts = filled.warehouse.value("select count(*) from dwh.fact_sales")
        assert re.search(rf"dwh\.fact_sales\s+{facts:,}", layers)


def test_a_backup_that_failed_is_seen_until_one_of_its_kind_succeeds(
    filled: Flow, browser: Browser, tmp_path: Path
) -> None:
    """What is good of one kind does not hide what is bad of another, however many follow."""

    def log(kind: str, status: str) -> None:
        entry = filled.warehouse.value("select etl.open_backup(%s, 'here')", [kind])
        filled.warehouse.execute("call etl.close_backup(%s, %s, 'it is bad')", [entry, status])

    for kind, status in (("physical", "failed"), ("verify", "failed"), *[("logical", "succeeded")] * 12):
        log(kind, status)
    log("physical", "succeeded")
    with opened(browser, stored(filled.warehouse, tmp_path)) as page:
        assert page.locator("#banner strong").all_text_contents() == ["The last verification of a backup failed"]
        assert "it is bad" in page.locator("#banner").inner_text()
        page.click("#tab-pipeline")
        assert page.locator("#backups tbody tr", has_text="verify").count() == 1
    log("verify", "succeeded")
    with opened(browser, stored(filled.warehouse, tmp_path)) as page:
        assert page.locator("#banner").is_hidden()


def test_lineage_shows_the_registry(shown: Flow, browser: Browser, tmp_path: Path) -> None:
    """Each node is a box; a click, or Enter, shows its comment, its definition and what it touches."""
    with opened(browser, stored(shown.warehouse, tmp_path) + "#view-lineage") as page:
        nodes = {node for (node,) in shown.warehouse.query("select node from dwh.metric_lineage_node")}
        boxes = page.locator("#picture .box")
        assert set(boxes.evaluate_all("e => e.map(b => b.dataset.node)")) == nodes
        assert {"op.public.sales", "mrr.sales", "stg.sale", "dwh.fact_sales", "dwh.metric_sales"} <= nodes
        page.click("#picture .box[data-node='dwh.fact_sales']")
        detail = page.locator("#detail").inner_text()
        comment = shown.warehouse.value("select obj_description('dwh.fact_sales'::regclass)")
        assert comment in detail
        assert "stg.sale" in detail
        assert "captured_on date not null" in detail
        page.focus("#picture .box[data-node='stg.sale']")
        page.keyboard.press("Enter")
        assert "CREATE OR REPLACE FUNCTION stg.sale" in page.locator("#detail").inner_text()
        overlap = """() => {
            const boxes = [...document.querySelectorAll("#picture .box > rect:first-of-type")];
            const all = boxes.map((r) => r.getBoundingClientRect());
            return all.some((a, i) => all.some((b, j) => i < j
                && a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom));
        }"""
        assert page.evaluate(overlap) is False


def test_facts_of_ones_own_are_shown(source: Flow, browser: Browser, tmp_path: Path) -> None:
    """Each has its card, with rows and sums of its measures; where nothing else was sold, they come first."""
    source.operational.execute(SHOPS)
    with opened(browser, stored(source.warehouse, tmp_path)) as page:
        assert page.locator("#tab-facts").is_hidden()
    source.warehouse.execute(STAR)
    with opened(browser, stored(source.warehouse, tmp_path)) as page:
        assert page.locator("#facts .card").count() == 2
        assert "Nothing was loaded yet" in (page.text_content("#facts") or "")
    source.run("shops")
    source.warehouse.execute(
        "update dwh.fact_visit set captured_on = captured_on - 2 where visit_id = 1;"
        " select dwh.recount_facts(f) from etl.fact f"
    )
    for scheme in ("light", "dark"):
        with opened(browser, stored(source.warehouse, tmp_path), color_scheme=scheme) as page:
            assert page.locator("#facts").is_visible()
            card = page.locator("#facts .card[data-fact='dwh.fact_visit']")
            assert card.locator("dd:not(.sub)").all_text_contents() == ["3", "72"]
            card.get_by_text("visitors", exact=True).last.click()
            card.locator("summary").click()
            card.locator("tbody tr").first.wait_for()
            assert card.locator("tbody tr").count() == 3
            cells = card.locator("tbody tr").evaluate_all(
                "e => e.map(r => [...r.cells].slice(1).map(c => c.textContent))"
            )
            assert cells == [["1", "40"], ["0", "0"], ["2", "32"]]
            page.focus("#chart-fact-1")
            page.keyboard.press("ArrowRight")
            assert (page.text_content("#live") or "").endswith("visitors 40")
            assert page.evaluate(CONTRAST) == []
            assert page.evaluate(NAMELESS) == []
            for width in (1280, 320):
                page.set_viewport_size({"width": width, "height": 800})
                page.wait_for_function("() => document.scrollingElement.scrollWidth <= innerWidth")
    with opened(browser, stored(source.warehouse, tmp_path) + "#view-lineage") as page:
        assert page.locator("#picture .box[data-node='dwh.metric_fact']").count() == 1
    assert source.warehouse.query(
        "select from_node from dwh.metric_lineage_edge where to_node = 'dwh.facts_by_day' order by 1"
    ) == [("dwh.fact_scan",), ("dwh.fact_visit",)]


def test_facts_of_many_years_are_shown_by_month(source: Flow) -> None:
    """The page carries no more cells however long a model is loaded; their sum is that of all days."""
    source.operational.execute(SHOPS)
    source.warehouse.execute(STAR)
    source.run("shops")
    source.warehouse.execute(
        "insert into dwh.facts_by_day select 'dwh.fact_visit', d::date, '', 2"
        " from generate_series(date '2020-01-01', '2023-12-31', '1 day') d"
    )
    scan, visit = source.warehouse.value("select dwh.dashboard_facts()")
    assert (scan["grain"], visit["grain"]) == ("day", "month")
    rows = [cell for cell in visit["cells"] if cell[1] is None]
    assert len(rows) == 49
    assert sum(total for _, _, total in rows) == 2 * 1461 + 3


# ---------------------------------------------------------------------------------------------------------------------
# Everybody's page
# ---------------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_contrast_names_and_narrow_screens(shown: Flow, browser: Browser, tmp_path: Path, scheme: Any) -> None:
    """In both colours every text has a contrast of 4.5 to 1, everything a name, and nothing is wider than a phone."""
    url = stored(shown.warehouse, tmp_path)
    with opened(browser, url, color_scheme=scheme) as page:
        rank(page, "country", "Peru")
        grounds = []
        for view in ("sales", "pipeline", "lineage"):
            page.click(f"#tab-{view}")
            page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
            page.wait_for_timeout(50)
            assert page.evaluate(CONTRAST) == [], view
            assert page.evaluate(NAMELESS) == [], view
            for width in (1920, 768, 390, 320):
                page.set_viewport_size({"width": width, "height": 800})
                page.wait_for_timeout(50)
                page.wait_for_function(
                    "() => document.scrollingElement.scrollWidth <= innerWidth"
                )  # once the charts have followed, (view, width)
        grounds.append(page.evaluate("getComputedStyle(document.body).backgroundColor"))
        page.click("#theme")
        grounds.append(page.evaluate("getComputedStyle(document.body).backgroundColor"))
        assert grounds[0] != grounds[1]
        page.reload()
        page.wait_for_selector("body[data-started]")
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") == grounds[1]


def test_contrast_is_measured(shown: Flow, browser: Browser, tmp_path: Path) -> None:
    """The measure finds a grey that is too light, and the search for names a button without one."""
    with opened(browser, stored(shown.warehouse, tmp_path)) as page:
        page.evaluate("document.documentElement.style.setProperty('--muted', '#b0b8c4')")
        assert page.evaluate(CONTRAST) != []
        page.evaluate("document.body.append(document.createElement('button'))")
        page.evaluate("document.body.lastElementChild.style.cssText = 'width:9px;height:9px;display:block'")
        assert page.evaluate(NAMELESS) != []


def test_keyboard_and_screen_reader(shown: Flow, browser: Browser, tmp_path: Path) -> None:
    """Tabs, lists and charts work by keys, focus is seen, and what a filter does is said."""
    with opened(browser, stored(shown.warehouse, tmp_path)) as page:
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.className") == "skip"
        page.focus("#tab-sales")
        page.keyboard.press("ArrowRight")
        assert page.evaluate("document.activeElement.id") == "tab-pipeline"
        assert page.locator("#pipeline").is_visible()
        page.keyboard.press("Home")
        assert page.locator("#sales").is_visible()
        page.focus("#list-country .rank")
        assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
        name = page.evaluate("document.activeElement.dataset.key")
        page.keyboard.press("Space")
        settle(page)
        assert page.evaluate("document.activeElement.dataset.key") == name
        assert (page.text_content("#live") or "").startswith(f"{name}: ")
        page.keyboard.press("Enter")
        settle(page)
        assert (page.text_content("#live") or "").startswith("All sales: ")
        page.focus("#chart-day")
        page.keyboard.press("ArrowRight")
        page.keyboard.press("Enter")
        settle(page)
        first = shown.warehouse.value("select min(captured_on) from dwh.sales_by_day")
        assert page.input_value("#from") == str(first)
        for chart in ("day", "heat", "customers"):
            assert page.get_attribute(f"#chart-{chart}", "aria-label")
            assert page.locator(f"#card-{chart} details.instead").count() == 1


def test_focus_is_never_lost(filled: Flow, browser: Browser, tmp_path: Path) -> None:
    """Whoever uses the keys goes on where they were, although what they pressed is gone from the page."""
    for _ in range(9):
        filled.run(force=True)
    focused = "document.activeElement.tagName + ' ' + (document.activeElement.id || document.activeElement.className)"
    with opened(browser, stored(filled.warehouse, tmp_path)) as page:

        def press(selector: str) -> str:
            page.focus(selector)
            page.keyboard.press("Enter")
            settle(page)
            return str(page.evaluate(focused))

        assert press("#list-product .more") == "BUTTON rank"
        assert (
            page.evaluate("[...document.querySelectorAll('#list-product .rank')].indexOf(document.activeElement)") == 12
        )
        assert press("#list-product .more") == "BUTTON more"
        rank(page, "country", "Peru")
        rank(page, "country", "Oman")
        assert press("#chips .chip") == "BUTTON chip"
        assert press("#chips .chip") == "INPUT from"
        rank(page, "country", "Peru")
        assert press("#chips .clear") == "INPUT from"
        page.click("#tab-pipeline")
        assert press("#runs .more") == "DIV scroll"
        page.click("#tab-lineage")
        page.focus("#picture .box[data-node='dwh.fact_sales']")
        page.keyboard.press("Enter")
        assert page.evaluate("document.activeElement.dataset.node") == "dwh.fact_sales"
        assert (page.text_content("#live") or "").startswith("Fact dwh.fact_sales: ")
        assert press("#detail .link") == "ARTICLE detail"


def test_numbers_and_dates_by_locale(shown: Flow, browser: Browser, tmp_path: Path) -> None:
    """A German browser writes them the German way."""
    units = shown.warehouse.value("select sum(units)::bigint from dwh.metric_sales")
    with opened(browser, stored(shown.warehouse, tmp_path), locale="de-DE") as page:
        assert kpi(page, "units") == f"{units:,}".replace(",", ".")
        page.evaluate("document.querySelector('#card-day details').open = true")
        page.wait_for_selector("#card-day td")
        assert re.fullmatch(r"\d\d\.\d\d\.\d{4}", page.text_content("#card-day td") or "")


def test_print_has_every_view(shown: Flow, browser: Browser, tmp_path: Path) -> None:
    """On paper all three views follow each other, in light colours and without what can only be clicked."""
    with opened(browser, stored(shown.warehouse, tmp_path), color_scheme="dark") as page:
        page.emulate_media(media="print")
        page.evaluate("dispatchEvent(new Event('beforeprint'))")
        settle(page)
        assert all(page.locator(f"#{view}").is_visible() for view in ("sales", "pipeline", "lineage"))
        assert page.locator(".tabs").is_hidden()
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
        page.evaluate("dispatchEvent(new Event('afterprint'))")
        assert page.locator("#pipeline").is_hidden()
        page.emulate_media(media="screen")
        assert page.pdf().startswith(b"%PDF")


# ---------------------------------------------------------------------------------------------------------------------
# Deployment
# ---------------------------------------------------------------------------------------------------------------------
def test_deployed_page_is_that_of_the_sources(warehouse: Database) -> None:
    """What the deployment stored is what the files make, whole, in ASCII; a changed one is made good by the next."""
    whole = dashboard.page()
    expected = (whole, hashlib.sha256(whole.encode()).hexdigest())
    assert warehouse.row("select content, sha256 from etl.page where page = 'dashboard'") == expected
    for file in ("style.css", "sales.js", "vendor/echarts.min.js"):
        assert (ROOT / "dashboard/web" / file).read_text().strip("\n") in whole
    assert whole.isascii()
    assert re.findall(r'(?:src|href)="(?!#|data:)', whole) == []
    warehouse.execute("update etl.page set content = 'old', sha256 = 'old'")
    warehouse.close()
    alembic(warehouse.dsn, command.upgrade, "head")
    assert warehouse.row("select content, sha256 from etl.page where page = 'dashboard'") == expected


def test_page_does_not_take_what_would_end_an_element(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A script that closes itself, or is not ASCII, is refused before anything is deployed."""
    shutil.copytree(ROOT / "dashboard/web", tmp_path / "web")
    monkeypatch.setattr(dashboard, "ROOT", tmp_path / "web")
    for text in ('const a = "</script>";', 'const a = "ö";'):
        (tmp_path / "web/sales.js").write_text(text, encoding="utf-8")
        with pytest.raises(Exception, match=r"sales\.js must be ASCII"):
            dashboard.page()


# ---------------------------------------------------------------------------------------------------------------------
# Server
# ---------------------------------------------------------------------------------------------------------------------
def get(url: str, path: str = "/", **headers: str) -> tuple[int, str, dict[str, str]]:
    """Ask the server, with headers of our own; a browser sets some of them itself."""
    place = url.removeprefix("http://").rstrip("/")
    connection = http.client.HTTPConnection(place, timeout=20)
    connection.putrequest("GET", path, skip_host="Host" in headers)
    for name, value in headers.items():
        connection.putheader(name.replace("_", "-"), value)
    connection.endheaders()
    reply = connection.getresponse()
    text = reply.read().decode()
    connection.close()
    return reply.status, text, dict(reply.headers)


def said(url: str, words: bytes) -> str:
    """Send what need not be HTTP, and return all that comes until the server closes."""
    place = urlsplit(url)
    with socket.create_connection((place.hostname or "", place.port or 0), timeout=20) as connection:
        connection.sendall(words)
        parts = []
        while part := connection.recv(65536):
            parts.append(part)
    return b"".join(parts).decode()


def test_server_answers_this_machine_alone(shown: Flow) -> None:
    """It listens on loopback, by its own names only, and gives figures to no other page; answers forbid frames."""
    question = "/data?filter=%7B%7D&parts=total&grain=day"
    with serving(shown.warehouse) as url:
        assert url.startswith("http://127.0.0.1:")
        status, text, headers = get(url)
        assert (status, headers["Content-Type"]) == (200, "text/html; charset=utf-8")
        assert "connect-src 'self'" in text
        assert headers["X-Frame-Options"] == "DENY"
        assert headers["Cache-Control"] == "no-store"
        assert get(url, question)[0] == 200
        assert get(url, Host="localhost:8000")[0] == 200
        for host in ("evil.example", "evil.example:80", "127.0.0.1.evil.example", ""):
            assert get(url, Host=host)[0] == 421, host
        assert get(url, question, Sec_Fetch_Site="cross-site")[0] == 403
        assert get(url, "/etc/passwd")[0] == 404
        for bad in ("/data", "/data?filter=%7B&parts=total&grain=day", "/data?filter=%7B%7D&parts=x&grain=day",
                    "/data?filter=1&parts=total&grain=day", "/data?filter=%7B%7D&parts=total&grain='",
                    "/data?filter=%7B%7D&parts=%00&grain=day", "http://[/"):  # fmt: skip
            assert get(url, bad, Host="localhost")[0] == 400, bad


def test_server_refuses_in_its_own_form(shown: Flow) -> None:
    """What is neither read nor HTTP is told so with the headers of every answer; HEAD gets them without the page."""
    with serving(shown.warehouse) as url:
        for words, status in (
            (b"POST / HTTP/1.0\r\nContent-Length: 0\r\n\r\n", 405),
            (b"<b>x</b> / HTTP/1.0\r\n\r\n", 405),
            (b"nonsense\r\n\r\n", 400),
            (b"GET / HTTP/9.9\r\n\r\n", 505),
            (b"HEAD / HTTP/1.0\r\nHost: localhost\r\n\r\n", 200),
        ):
            answer = said(url, words)
            head, _, body = answer.partition("\r\n\r\n")
            assert head.split()[1] == str(status), words[:40]
            for name, value in served.HEADERS.items():
                assert f"{name}: {value}" in head, words[:40]
            assert ("Allow: GET, HEAD" in head) == (status == 405)
            assert "<" not in body
            assert (body == "") == (status == 200)


def test_server_lets_go_of_who_says_nothing(shown: Flow, monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection that asks nothing, or not to the end, is closed; others are answered meanwhile."""
    assert served.Handler.timeout == served.SILENCE
    monkeypatch.setattr(served.Handler, "timeout", 0.2)
    with serving(shown.warehouse) as url:
        for words in (b"", b"GET / HT", b"GET / HTTP/1.0\r\nHost: local"):
            assert said(url, words) == ""
        assert get(url)[0] == 200


def test_server_says_when_the_warehouse_is_gone(shown: Flow) -> None:
    """The page's place is taken by what is wrong and what to do; no password is in it."""
    dsn = shown.warehouse.dsn_of("headrace_reader", "wrong password")
    server = served.Server(0, dsn)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    status, text, _ = get(server.url)
    server.shutdown()
    server.server_close()
    assert status == 503
    assert "does not accept the password of headrace_reader" in text
    assert "wrong password" not in text


def test_dashboard_command(shown: Flow, tmp_path: Path) -> None:
    """``bootstrap.py dashboard`` says where it is, serves, and ends by Ctrl-C; a taken port is said."""
    home = Home(tmp_path / "home")
    home.prepare()
    home.keep(Choices(warehouse=shown.warehouse.dsn))
    password = shown.warehouse.server.passwords["headrace_reader"]
    environment = {**os.environ, "HEADRACE_HOME": str(home.path), "PGPASSWORD": password}
    words = [sys.executable, str(ROOT / "bootstrap.py"), "dashboard", "--no-browser", "--port"]
    process = subprocess.Popen(
        [*words, "0"], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        url = re.search(r"http://127\.0\.0\.1:(\d+)/", process.stdout.readline())
        assert url, process.communicate()
        assert get(url[0])[0] == 200
        again = subprocess.run([*words, url[1]], env=environment, capture_output=True, text=True, check=False)
        assert (again.returncode, again.stderr.splitlines()[0]) == (1, f"headrace: port {url[1]} is taken")
        process.send_signal(signal.SIGINT)
        printed, said = process.communicate(timeout=20)
        assert (process.returncode, printed.strip(), said) == (0, "Stopped.", "")
    finally:
        process.kill()


# ---------------------------------------------------------------------------------------------------------------------
# Readers
# ---------------------------------------------------------------------------------------------------------------------
def test_reader_gets_the_page_and_every_metric(shown: Flow) -> None:
    """The role that reads dwh may ask for all of it, and for nothing of etl."""
    views = [
        name for (name,) in shown.warehouse.query("select viewname from pg_views where schemaname = 'dwh' order by 1")
    ]
    assert len(views) >= 12
    with shown.warehouse.connect("headrace_reader") as reader:
        reader.execute("set default_transaction_read_only = on")
        for view in views:
            reader.execute(f"select * from dwh.{view}")
        assert reader.execute("select length(dwh.dashboard()) > 100000").fetchone() == (True,)
        for closed in ("select * from etl.page", "select dwh.dashboard_cube('{}', 'day', '{}', null)",
                       "call dwh.store_dashboard('sales', 1, 'succeeded')"):  # fmt: skip
            with raises("42501"):
                reader.execute(closed)


@pytest.mark.parametrize(
    ("policy", "row", "detail"),
    [
        ("none", None, None),
        ("masked", {"id": 7, "name": "…", "born": "2001-02-03", "vip": True, "note": None}, None),
        ("rows", {"id": 7, "name": "Ada", "born": "2001-02-03", "vip": True, "note": None}, "Key (id)=(7)"),
    ],
)
def test_readers_see_of_rows_what_the_policy_says(
    sales: Flow, policy: str, row: dict[str, Any] | None, detail: str | None
) -> None:
    """Quarantine, checks and errors show texts and details only where etl.settings.reader_samples says so."""
    wh = sales.warehouse
    sales.run()
    wh.execute("update etl.settings set reader_samples = %s", [policy])
    data = '{"id": 7, "name": "Ada", "born": "2001-02-03", "vip": true, "note": null}'
    wh.execute(
        "insert into stg.quarantine (mirror, stage, batch_id, reason, row_key, row_data)"
        " values ('customers', 'stg.customer', 1, 'odd', '7', %s)",
        [data],
    )
    wh.execute("call etl.add_check('sales', 'odd', 'warn', 'select 1 where false')")
    wh.execute(
        "insert into etl.check_log (run_id, check_name, severity, status, rows_found, sample, checked_at)"
        " select max(run_id), 'odd', 'warn', 'warned', 1, jsonb_build_array(%s::jsonb), now() from etl.run_log",
        [data],
    )
    wh.execute(
        "insert into etl.procedure_errors (routine, sqlstate, message, detail, occurred_at, occurred_for)"
        " values ('x', '22P02', 'invalid input syntax for type integer: \"Ada\"', 'Key (id)=(7)', now(), 'me')"
    )
    with wh.connect("headrace_reader") as reader:
        shown = None if row is None else [row]
        assert reader.execute("select sample from dwh.metric_quarantine").fetchone() == (shown,)
        assert reader.execute("select sample from dwh.metric_check").fetchone() == (shown,)
        assert reader.execute("select detail, message ~ 'Ada' from dwh.metric_error").fetchone() == (
            detail, policy == "rows",
        )  # fmt: skip


def test_metrics_agree_with_facts(shown: Flow) -> None:
    """Sales, products and new customers are those of the facts and the dimension."""
    wh = shown.warehouse
    total = wh.row("select count(*), sum(qty)::bigint from dwh.fact_sales")
    assert wh.row("select sum(lines)::bigint, sum(units)::bigint from dwh.metric_sales") == total
    assert wh.row("select sum(lines)::bigint, sum(units)::bigint from dwh.metric_product") == total
    customers = wh.value("select count(distinct (source, customer_id)) from dwh.dim_customer")
    assert wh.value("select sum(customers)::bigint from dwh.metric_new_customers") == customers
    assert wh.value("select product from dwh.metric_product where rank = 1 order by 1 limit 1") == wh.value(
        "select dwh.most_popular_product()"
    )


def test_a_product_keeps_one_name_and_a_group_what_was_sold_in_it(filled: Flow) -> None:
    """A renamed product counts as a whole under its latest name; what it sold in its former group stays there."""
    wh = filled.warehouse
    before: dict[str, int] = dict(wh.query("select product_group, sum(units)::bigint from dwh.metric_sales group by 1"))
    filled.operational.execute("update public.products set name = 'New', groupname = 'Other' where id = 1")
    filled.operational.execute("insert into public.sales values (1, 1, 5)")
    filled.run()
    after: dict[str, int] = dict(wh.query("select product_group, sum(units)::bigint from dwh.metric_sales group by 1"))
    assert after == {**before, "Other": 5}
    assert wh.query("select distinct product from dwh.metric_sales where product_id = 1") == [("New",)]


def test_answer_refuses_what_is_no_filter(shown: Flow) -> None:
    """Words that are no part, no grain or no filter are refused with the form that is expected."""
    for arguments in ("'[]', '{total}'", "'{}', '{x}'", "'{}', '{total}', 'hour'"):
        with raises("22023", message="no filter", hint="countries"):
            shown.warehouse.execute(f"select dwh.dashboard_answer({arguments})")


def test_copy_is_kept_after_each_publish(filled: Flow) -> None:
    """With the callback set, readers find a copy of the page as of the last success; without, none is made."""
    wh = filled.warehouse
    assert wh.query("select * from dwh.dashboard_copy") == []
    wh.execute("call etl.set_callbacks('sales', on_success => 'dwh.store_dashboard')")
    for qty in (1, 2):
        filled.operational.execute(f"insert into public.sales values (1, 1, {qty})")
        filled.run()
        with wh.connect("headrace_reader") as reader:
            found = reader.execute("select run_id, content from dwh.dashboard_copy").fetchall()
        (last,) = filled.last_run("run_id")
        assert [run_id for run_id, _ in found] == [last]
        assert f'"run_id":{last}' in found[0][1]
