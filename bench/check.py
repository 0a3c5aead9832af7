"""Whether a result is right: its digests are those that the source works out of its own rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import psycopg

from bench import servers

Digests = Mapping[str, str]
PLAIN = ("select *, true as is_current, false as is_inferred from {star}.dim_customer",
         "select *, true as is_current, false as is_inferred from {star}.dim_product")  # fmt: skip
VERSIONS = (
    "select customer_key, customer_id, name, country, is_current, is_inferred from {star}.dim_customer",
    "select product_key, product_id, name, product_group, is_current, is_inferred from {star}.dim_product",
)
SETTINGS = "set work_mem = '256MB'; set statement_timeout = '15min'"


class WrongResult(Exception):
    """A contestant's result is not what the source holds, so its time does not count."""


@dataclass(frozen=True)
class Result:
    """Where a contestant left its result.

    Args:
        dsn: URL of its database.
        raw: schema of the copied tables.
        star: schema of the star; None where there is none.
        keeps_history: dimensions have versions, so an old sale stays with the customer's old country.
        is_log: the copies are logs of changes, so that only the star is compared.
    """

    dsn: str
    raw: str = "raw"
    star: str | None = "star"
    keeps_history: bool = False
    is_log: bool = False


def digests(dsn: str, query: str) -> dict[str, str]:
    """Return what a file of digests says of a database."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(SETTINGS)
        return dict(connection.execute(query.encode()).fetchall())


def of_source(dsn: str) -> dict[str, str]:
    """Return the digests of the source's own rows."""
    return digests(dsn, servers.text("source_digests"))


def of_raw(result: Result) -> dict[str, str]:
    """Return the digests of a contestant's copies."""
    return digests(result.dsn, servers.text("raw_digests").format(raw=result.raw))


def of_star(result: Result) -> dict[str, str]:
    """Return the digests of a contestant's star schema."""
    customers, products = (text.format(star=result.star) for text in (VERSIONS if result.keeps_history else PLAIN))
    query = servers.text("star_digests").format(star=result.star, customers=customers, products=products)
    return digests(result.dsn, query)


def differences(expected: Digests, found: Digests) -> list[str]:
    """Name each digest that differs, with both."""
    return [f"{name}: {found[name]}, not {expected[name]}" for name in found if found[name] != expected[name]]


def check(result: Result, expected: Digests) -> None:
    """Refuse a wrong result.

    Args:
        result: where it is.
        expected: the source's digests.

    Raises:
        WrongResult: says what differs.
    """
    wrong = [] if result.is_log else [f"copy of {line}" for line in differences(expected, of_raw(result))]
    if result.star:
        found = of_star(result)
        by_version = found.pop("by version")
        if result.keeps_history and found["by country and product"] == by_version:
            found["by country and product"] = expected["by country and product"]
        wrong += differences(expected, found)
        if not result.keeps_history and found["by country and product"] != by_version:
            wrong.append("the aggregate differs from the facts it counts")
    if wrong:
        raise WrongResult("; ".join(wrong))
