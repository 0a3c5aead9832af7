"""docs/reference.md is what a fresh warehouse prints of itself."""

from __future__ import annotations

from difflib import unified_diff
from pathlib import Path

from tests.psql import psql
from tests.support import Database, Flow

DOCS = Path(__file__).resolve().parent.parent / "docs"
RENEW = "python3 bootstrap.py psql warehouse -Xqf docs/reference.sql -o docs/reference.md"


def printed(warehouse: Database) -> str:
    """Return the reference that a warehouse prints."""
    result = psql(warehouse, "-f", str(DOCS / "reference.sql"))
    assert (result.returncode, result.stderr) == (0, "")
    return result.stdout


def test_reference_is_up_to_date(warehouse: Database) -> None:
    """The committed file is the printed one."""
    committed = (DOCS / "reference.md").read_text(encoding="utf-8")
    difference = unified_diff(
        committed.splitlines(), printed(warehouse).splitlines(), "docs/reference.md", "this warehouse", lineterm=""
    )
    assert committed == printed(warehouse), "\n".join(
        [f"docs/reference.md is out of date; renew it with  {RENEW}", *difference]
    )


def test_reference_does_not_depend_on_what_is_loaded(sales: Flow) -> None:
    """Mirrors, change sets and partitions that came at run time are not in it."""
    sales.operational.execute("insert into public.customers values (1, 'Ada', 'Peru')")
    sales.operational.execute("insert into public.products values (1, 'Tent', 'Outdoor')")
    sales.operational.execute("insert into public.sales values (1, 1, 1)")
    sales.run()
    assert printed(sales.warehouse) == (DOCS / "reference.md").read_text(encoding="utf-8")


def test_reference_shows_what_changes(warehouse: Database) -> None:
    """A new column, comment or right is seen, and Markdown's own characters in a comment stay what they are."""
    before = printed(warehouse).splitlines()
    warehouse.execute("create table dwh.dim_shop (shop_key bigint not null, name text)")
    warehouse.execute("comment on table dwh.dim_shop is 'Shops of <region> * size.'")
    warehouse.execute("comment on column dwh.dim_shop.name is 'Name | nickname.'")
    warehouse.execute("create function dwh.shop(p_key bigint default null) returns text language sql return 'x'")
    warehouse.execute("revoke all on function dwh.shop(bigint) from public")
    warehouse.execute("grant execute on function dwh.shop(bigint) to headrace_reader, headrace_monitor")
    after = printed(warehouse).splitlines()
    assert [line for line in after if line and line not in before] == [
        "#### `dwh.dim_shop`",
        r"Shops of \<region> \* size.",
        "| `shop_key` | bigint not null |  |",
        r"| `name` | text | Name \| nickname. |",
        "#### `dwh.shop`",
        "function dwh.shop(p_key bigint DEFAULT NULL::bigint) returns text",
        "Runs with the rights of its caller. May call: `headrace_monitor`, `headrace_reader`.",
    ]
