"""Shows a warehouse: what ``status`` and the end of ``demo`` print."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import psycopg
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

LAST_RUNS = """
    select r.run_id as run, r.pipeline, r.action, r.status, r.started_from as "from", r.started_by as by,
           r.started_at as started, coalesce(r.finished_at, clock_timestamp()) - r.started_at as took,
           (select sum(s.rows_inserted + s.rows_updated + s.rows_deleted)::bigint
            from etl.step_log s where s.run_id = r.run_id and s.phase = 'capture' and s.status = 'succeeded') as changes
    from etl.run_log r
    order by r.run_id desc
    limit 5
"""
PIPELINES = """
    select s.pipeline, s.last_status as "last run", s.freshness, s.pending_changes as pending, s.quarantined,
           s.paused, s.schedule, s.next_run_at as "next run", s.last_error as "last error"
    from etl.status s
    order by s.pipeline
"""
ERRORS = """
    select e.occurred_at as at, e.run_id as run, e.step, e.sqlstate, e.message, e.hint
    from etl.procedure_errors e
    where e.occurred_at > now() - interval '1 day'
    order by e.error_id desc
    limit 5
"""
BACKUPS = """
    select b.kind, b.status as "last outcome", b.age, b.backup, b.message
    from etl.backups b
"""
TOP_PRODUCTS = """
    select p.name as product, p.product_group as "group", sum(s.units)::bigint as units, sum(s.lines)::bigint as sales
    from dwh.sales_by_product s
    join dwh.dim_product v using (product_key)
    join dwh.dim_product p on p.source = v.source and p.product_id = v.product_id and p.is_current
    group by p.source, p.product_id, p.name, p.product_group
    order by units desc, product
    limit 5
"""
FOR_PROGRAMS = {"action", "by"}
LONG_TEXTS = {"message", "hint", "last error"}
LAYERS = {
    "op (source)": ("op.customers", "op.products", "op.sales"),
    "mrr (mirror)": ("mrr.customers", "mrr.products", "mrr.sales"),
    "stg": ("stg.quarantine",),
    "dwh (star)": ("dwh.dim_customer", "dwh.dim_product", "dwh.fact_sales", "dwh.sales_by_day"),
}


def rows(connection: psycopg.Connection, query: str) -> tuple[list[str], list[tuple[Any, ...]]]:
    """Return the names and the values of what a query of this program finds."""
    cursor = connection.execute(query.encode())
    return [column.name for column in cursor.description or ()], cursor.fetchall()


def as_text(value: object) -> str:
    """Return a value as people read it: no microseconds, no decimals where none are needed."""
    match value:
        case None:
            return ""
        case bool():
            return "yes" if value else ""
        case int():
            return f"{value:,}".replace(",", " ")
        case timedelta() if value < timedelta(minutes=1):
            return f"{value.total_seconds():.1f} s"
        case timedelta():
            return str(timedelta(seconds=round(value.total_seconds())))
        case datetime():
            local = value.astimezone()
            today = local.date() == datetime.now().astimezone().date()
            return local.strftime("%H:%M:%S" if today else "%Y-%m-%d %H:%M:%S")
        case _:
            return str(value)


def show(title: str, names: Sequence[str], values: Sequence[Sequence[object]]) -> None:
    """Print a table; columns that hold nothing, or are for programs, are left out; without rows it says none."""
    console = Console(width=None if sys.stdout.isatty() else 160, highlight=False)
    if not values:
        console.print(f"\n[bold]{title}[/bold]: none")
        return
    kept = [
        i
        for i, name in enumerate(names)
        if name not in FOR_PROGRAMS and any(row[i] not in (None, False) for row in values)
    ]
    table = Table(
        title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False
    )
    for i in kept:
        numeric = all(isinstance(row[i], int | timedelta | None) for row in values)
        table.add_column(
            names[i], justify="right" if numeric else "left", overflow="fold", no_wrap=names[i] not in LONG_TEXTS
        )
    for row in values:
        table.add_row(*(Text(as_text(row[i])) for i in kept))
    console.print()
    console.print(table, end="")


def layer_counts(connection: psycopg.Connection) -> list[tuple[str, str, int]]:
    """Count the rows of the sample's tables, layer by layer; tables that are not there are left out."""
    counts = []
    for layer, tables in LAYERS.items():
        for table in tables:
            if connection.execute("select to_regclass(%s) is not null", [table]).fetchone() == (True,):
                _, [[count]] = rows(connection, f"select count(*) from {table}")
                counts.append((layer, table, count))
    return counts


def show_demo(connection: psycopg.Connection) -> None:
    """Print what a demo ends with."""
    show("Last runs", *rows(connection, LAST_RUNS))
    show("Top products", *rows(connection, TOP_PRODUCTS))
    connection.execute("set role headrace_owner")  # whose user mapping reads the source
    show("Rows per layer", ("layer", "table", "rows"), layer_counts(connection))
    _, [[product]] = rows(connection, "select dwh.most_popular_product()")
    Console(highlight=False).print("\n[bold]select dwh.most_popular_product()[/bold]  →  ", Text(str(product)), sep="")


def status(connection: psycopg.Connection) -> dict[str, list[dict[str, Any]]]:
    """Return pipelines, last runs, errors of the last day and backups, each as rows by column."""
    return {
        title: [dict(zip(names, row, strict=True)) for row in values]
        for title, query in (
            ("pipelines", PIPELINES),
            ("runs", LAST_RUNS),
            ("errors", ERRORS),
            ("backups", BACKUPS),
        )
        for names, values in [rows(connection, query)]
    }


def show_status(found: dict[str, list[dict[str, Any]]]) -> None:
    """Print what ``status`` found."""
    for title, values in found.items():
        names = list(values[0]) if values else []
        show(title.capitalize(), names, [list(row.values()) for row in values])
