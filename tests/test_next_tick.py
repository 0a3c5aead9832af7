"""etl.next_tick() against cases worked out by hand, and against a clock that tries every minute."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support import Database

FIELDS = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 7))
MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
MONDAY = "2026-11-23 18:55:30"


@pytest.fixture(scope="module")
def clock(cloned_warehouse: Callable[[], AbstractContextManager[Database]]) -> Iterator[Database]:
    """Yield one warehouse for all tests here: the function reads no table."""
    with cloned_warehouse() as handle:
        yield handle


def next_tick(clock: Database, schedule: str | None, after: str | datetime | None) -> str | None:
    """Return what etl.next_tick() says, in UTC."""
    tick: str | None = clock.value(
        "select to_char(etl.next_tick(%s, %s::timestamptz) at time zone 'UTC', 'YYYY-MM-DD HH24:MI:SS')",
        [schedule, after],
    )
    return tick


@pytest.mark.parametrize(
    ("schedule", "after", "expected"),
    [
        ("* * * * *", MONDAY, "2026-11-23 18:56:00"),
        ("* * * * *", "2026-11-23 18:55:00", "2026-11-23 18:56:00"),
        ("* * * * *", "2026-11-23 18:54:59.999999", "2026-11-23 18:55:00"),
        ("  *\t*  * * * ", MONDAY, "2026-11-23 18:56:00"),
        ("*/5 * * * *", MONDAY, "2026-11-23 19:00:00"),
        ("*/7 * * * *", MONDAY, "2026-11-23 18:56:00"),
        ("10-20/5,3 * * * *", MONDAY, "2026-11-23 19:03:00"),
        ("07 09 * * *", MONDAY, "2026-11-24 09:07:00"),
        ("0 3 * * mon-fri", MONDAY, "2026-11-24 03:00:00"),
        ("0 3 * * Sat,SUN", MONDAY, "2026-11-28 03:00:00"),
        ("0 3 * * 7", MONDAY, "2026-11-29 03:00:00"),
        ("0 3 * * 0", MONDAY, "2026-11-29 03:00:00"),
        ("0 3 * * 5-7", "2026-11-28 04:00", "2026-11-29 03:00:00"),
        ("0 0 1 jan *", MONDAY, "2027-01-01 00:00:00"),
        ("0 0 1 Feb-apr/2 *", "2027-02-02", "2027-04-01 00:00:00"),
        ("59 23 31 12 *", "2026-12-31 23:59:00", "2027-12-31 23:59:00"),
        # the 13th or a Friday, whichever comes first; with a star in front of either, both
        ("0 0 13 * 5", MONDAY, "2026-11-27 00:00:00"),
        ("0 0 13 * 5", "2026-12-11 12:00", "2026-12-13 00:00:00"),
        ("0 0 */12 * 5", MONDAY, "2026-12-25 00:00:00"),
        ("0 0 1-7 * */7", MONDAY, "2026-12-06 00:00:00"),
        # leap days, also over the century that has none, and a leap day on a Sunday
        ("0 0 29 2 *", MONDAY, "2028-02-29 00:00:00"),
        ("0 0 29 2 *", "2096-02-29", "2104-02-29 00:00:00"),
        ("0 0 29 2 */7", MONDAY, "2032-02-29 00:00:00"),
        ("0 0 29 2 */7", "2088-03-01", "2128-02-29 00:00:00"),
        ("5 4 $ * *", MONDAY, "2026-11-30 04:05:00"),
        ("5 4 $ feb *", MONDAY, "2027-02-28 04:05:00"),
        ("5 4 $ 2 *", "2027-03-01", "2028-02-29 04:05:00"),
        ("@hourly", MONDAY, "2026-11-23 19:00:00"),
        ("@daily", MONDAY, "2026-11-24 00:00:00"),
        ("@midnight", MONDAY, "2026-11-24 00:00:00"),
        ("@weekly", MONDAY, "2026-11-29 00:00:00"),
        ("@Monthly", MONDAY, "2026-12-01 00:00:00"),
        ("@yearly", MONDAY, "2027-01-01 00:00:00"),
        ("@annually", MONDAY, "2027-01-01 00:00:00"),
        ("30 seconds", MONDAY, "2026-11-23 18:56:00"),
        ("1 second", MONDAY, "2026-11-23 18:55:31"),
        (" 59  sEcOnDs ", MONDAY, "2026-11-23 18:56:29"),
    ],
)
def test_next_tick(clock: Database, schedule: str, after: str, expected: str) -> None:
    """Each form of a schedule, at its edges."""
    assert next_tick(clock, schedule, after) == expected


@pytest.mark.parametrize(
    "schedule",
    [
        "0 0 30 2 *",
        "0 0 31 4,6,9,11 *",
        "@reboot",
        "",
        "* * * *",
        "* * * * * *",
        "60 * * * *",
        "* 24 * * *",
        "* * 0 * *",
        "* * * 13 *",
        "* * * 0 *",
        "* * * * 8",
        "*/0 * * * *",
        "5/10 * * * *",
        "9-3 * * * *",
        "1,,2 * * * *",
        "1,60 * * * *",
        "-1 * * * *",
        "$ * * * *",
        "* * * mon *",
        "* * * * january",
        "0 seconds",
        "60 seconds",
        "5 secondc",
        "9999999999999999999 * * * *",
        "'; drop table etl.run_log; --",
        None,
    ],
)
def test_never(clock: Database, schedule: str | None) -> None:
    """What never happens and what is no schedule has no next time, and no error either."""
    assert next_tick(clock, schedule, MONDAY) is None


def test_from_nowhere_in_time(clock: Database) -> None:
    """From null or infinity on there is no next time; without a moment it is the next one from now."""
    for after in (None, "infinity", "-infinity"):
        for schedule in ("* * * * *", "5 seconds"):
            assert next_tick(clock, schedule, after) is None
    assert clock.value(
        "select etl.next_tick('* * * * *') - statement_timestamp() between interval '0' and interval '1 minute'"
    )


def test_time_zone_of_the_session_does_not_matter(clock: Database) -> None:
    """Schedules are in GMT whatever the session's time zone is."""
    clock.execute("set timezone = 'Asia/Kolkata'")
    try:
        assert next_tick(clock, "0 3 * * *", "2026-11-23 02:59:00+00") == "2026-11-23 03:00:00"
    finally:
        clock.execute("set timezone = 'UTC'")


def test_quick_enough_for_a_view(clock: Database) -> None:
    """A hundred look-ups, some of them 40 years ahead, take less than some seconds even on a slow machine."""
    clock.execute("set statement_timeout = '5s'")
    try:
        assert (
            clock.value(
                "select count(etl.next_tick('0 0 29 2 */7', '2088-03-01+00'::timestamptz + n * interval '1 h'))"
                " from generate_series(1, 100) n"
            )
            == 100
        )
    finally:
        clock.execute("reset statement_timeout")


@st.composite
def lists(draw: st.DrawFn, field: int) -> str:
    """Draw one field of a cron expression."""
    low, high = FIELDS[field]

    def item() -> str:
        kind = draw(st.sampled_from(["star", "star", "value", "range", "step"]))
        if kind == "star":
            return "*" + draw(st.sampled_from(["", "/2", "/3", "/7"]))
        first = draw(st.integers(low, high))
        if kind == "value":
            names = {3: MONTHS, 4: DAYS}.get(field, ())
            position = first - low
            return names[position] if position < len(names) and draw(st.booleans()) else str(first)
        last = draw(st.integers(first, high))
        return f"{first}-{last}" + (f"/{draw(st.integers(1, 9))}" if kind == "step" else "")

    return ",".join(item() for _ in range(draw(st.integers(1, 3))))


def members(field: int, text: str) -> set[int]:
    """Return the values that a field lets through."""
    low, high = FIELDS[field]
    values: set[int] = set()
    for item in text.split(","):
        span, _, step = item.partition("/")
        first, _, last = (f"{low}-{high}" if span == "*" else span).partition("-")
        start = number(field, first)
        values |= set(range(start, (number(field, last) if last else start) + 1, int(step or 1)))
    return values


def number(field: int, word: str) -> int:
    """Return the value that a number or name stands for."""
    if word.isdigit():
        return int(word)
    return MONTHS.index(word) + 1 if field == 3 else DAYS.index(word)


def by_trying(schedule: str, after: datetime) -> datetime | None:
    """Return the next time within ten years by trying day after day, then minute after minute."""
    texts = schedule.split()
    minutes, hours, days, months, weekdays = (members(field, text) for field, text in enumerate(texts))
    both = texts[2].startswith("*") or texts[4].startswith("*")
    day = after.replace(hour=0, minute=0, second=0, microsecond=0)
    for _ in range(3660):
        weekday = day.isoweekday()
        fits = day.day in days, weekday in weekdays or weekday % 7 in weekdays
        if day.month in months and (all(fits) if both else any(fits)):
            times = (day.replace(hour=hour, minute=minute) for hour in sorted(hours) for minute in sorted(minutes))
            tick = next((time for time in times if time > after), None)
            if tick:
                return tick
        day += timedelta(days=1)
    return None


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    schedule=st.tuples(*(lists(field) for field in range(5))).map(" ".join),
    after=st.datetimes(datetime(1999, 1, 1), datetime(2060, 1, 1), timezones=st.just(UTC)),
)
def test_any_expression_as_by_trying(clock: Database, schedule: str, after: datetime) -> None:
    """Whatever the expression, the answer is the first minute that a patient clock finds."""
    expected = by_trying(schedule, after)
    tick = next_tick(clock, schedule, after)
    if expected is None:
        assert tick is None or tick > str(after + timedelta(days=3650))[:19]
    else:
        assert tick == str(expected)[:19]
