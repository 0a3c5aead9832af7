"""dwh.insert_procedure_info(): every routine that is neither the system's nor an extension's, whatever else fails."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from tests.support import Database, Row, raises

CALL = "call dwh.insert_procedure_info()"
ROUTINES = """
    create function public.twice(a int) returns int language sql immutable return a * 2;
    create function public.twice(a text, b text default 'x') returns text language sql as $$ select a || b $$;
    comment on function public.twice(int) is 'Twice as much.';
    create schema "An ""odd"" schema";
    create procedure "An ""odd"" schema"."a (b)"(inout "x y" int) language plpgsql security definer as $$ begin end $$;
    create function public.position() returns bigint language internal window as 'window_row_number';
    create function public.nothing() returns trigger language plpgsql as $$ begin return null; end $$;
    create aggregate public.plain(int) (sfunc = int4pl, stype = int, initcond = '0');
    create function public.grow(state numeric[], variadic more numeric[]) returns numeric[]
        language sql return state || more;
    create function public.finish(state numeric[], more numeric[]) returns text language sql return state::text;
    create aggregate public.rich(variadic more numeric[]) (
        sfunc = public.grow, stype = numeric[], sspace = 64, finalfunc = public.finish, finalfunc_extra,
        finalfunc_modify = shareable, initcond = '{}', parallel = restricted
    );
    create aggregate public.moving(float8) (
        sfunc = float8pl, stype = float8, combinefunc = float8pl, initcond = '0', parallel = safe,
        msfunc = float8pl, minvfunc = float8mi, mstype = float8, minitcond = '0', mfinalfunc = dsqrt
    );
    create aggregate public.smallest(int) (sfunc = int4smaller, stype = int, sortop = operator(pg_catalog.<));
    create aggregate public.number_of(*) (sfunc = int8inc, stype = int8, initcond = '0');
    create aggregate public.middle(float8 order by float8) (
        sfunc = ordered_set_transition, stype = internal, finalfunc = percentile_cont_float8_final,
        finalfunc_modify = read_write
    );
    create aggregate public.place(variadic "any" order by variadic "any") (
        sfunc = ordered_set_transition_multi, stype = internal, finalfunc = rank_final, finalfunc_extra, hypothetical
    );
"""


@pytest.fixture
def crowded(warehouse: Database) -> Database:
    """Return a warehouse with routines of every kind besides its own."""
    warehouse.execute(ROUTINES)
    return warehouse


def stored(warehouse: Database, columns: str, name: str) -> list[Row]:
    """Return columns of the stored routines of a name."""
    return warehouse.query(
        f"select {columns} from dwh.stored_routines where routine_name = %s order by arguments", [name]
    )


def errors(warehouse: Database) -> list[Row]:
    """Return step and SQLSTATE of the errors that the procedure caught."""
    return warehouse.query(
        "select step, sqlstate from etl.procedure_errors where routine = 'dwh.insert_procedure_info' and message <> ''"
        " and context <> '' and run_id is null order by error_id"
    )


def test_every_routine_is_stored(crowded: Database) -> None:
    """What is stored is what pg_proc holds outside the system's schemas and extensions, with nothing failed."""
    crowded.execute(CALL)
    assert (
        crowded.query(
            """
        select routine_schema, routine_name, arguments, kind, result, language, security, owner, comment
        from dwh.stored_routines where first_seen = last_seen and vanished_at is null
        except
        select routine_schema, p.proname, pg_get_function_identity_arguments(p.oid),
            lower(coalesce(r.routine_type, case p.prokind when 'a' then 'aggregate' else 'window' end)),
            pg_get_function_result(p.oid), l.lanname, lower(r.security_type), p.proowner::regrole::text,
            obj_description(p.oid)
        from information_schema.routines r
        join pg_proc p on r.specific_name = p.proname || '_' || p.oid
        join pg_language l on l.oid = p.prolang
        """
        )
        == []
    )
    assert crowded.value("select count(*) from dwh.stored_routines") == crowded.value(
        "select count(*) from pg_proc p where p.oid >= 16384"
        " and not exists (select from pg_depend d where d.deptype = 'e' and d.objid = p.oid"
        " and d.classid = 'pg_proc'::regclass)"
    )
    assert errors(crowded) == []


def test_each_kind_of_routine(crowded: Database) -> None:
    """Overloads, odd names, window functions and aggregates are there with what they are."""
    crowded.execute(CALL)
    what = "arguments, kind, result, language, security, comment"
    assert stored(crowded, what, "twice") == [
        ("a integer", "function", "integer", "sql", "invoker", "Twice as much."),
        ("a text, b text", "function", "text", "sql", "invoker", None),
    ]
    assert stored(crowded, f"routine_schema, {what}", "a (b)") == [
        ('An "odd" schema', 'INOUT "x y" integer', "procedure", None, "plpgsql", "definer", None)
    ]
    assert stored(crowded, "kind, language", "position") == [("window", "internal")]
    assert stored(crowded, "kind, arguments", "number_of") == [("aggregate", "")]
    assert stored(crowded, "security, kind", "insert_procedure_info") == [("definer", "procedure")]
    assert (
        crowded.value("select count(*) from dwh.stored_routines where routine_schema in ('etl_ext', 'pg_catalog')") == 0
    )


def test_stored_source_makes_the_routine_again(crowded: Database) -> None:
    """Dropped and made again from its stored source, each routine has the same source, aggregates included."""
    crowded.execute(CALL)
    sources = crowded.query(
        "select source, format('%I.%I', routine_schema, routine_name), kind, arguments from dwh.stored_routines"
        " where routine_schema not in ('etl', 'mrr', 'stg', 'dwh') order by kind"
    )
    assert [kind for _, _, kind, _ in sources].count("aggregate") == 7
    for _, name, kind, arguments in sources:
        everything = "*" if kind == "aggregate" else ""
        crowded.execute(f"drop {kind.replace('window', 'function')} {name}({arguments or everything})")
    for source, *_ in reversed(sources):
        crowded.execute(source)
    before = (
        "select routine_schema, routine_name, arguments, source, source_hash from dwh.stored_routines order by 1, 2, 3"
    )
    expected = crowded.query(before)
    crowded.execute("truncate dwh.stored_routines")
    crowded.execute(CALL)
    assert crowded.query(before) == expected
    assert crowded.value(
        "select bool_and(source_hash = encode(sha256(convert_to(source, 'UTF8')), 'hex')) from dwh.stored_routines"
    )


def test_changes_arrive_and_the_first_sight_stays(crowded: Database) -> None:
    """A new body changes source, hash and last_seen of that routine, and nothing but last_seen of the others."""
    crowded.execute(CALL)
    unchanged = (
        "select arguments, routine_name, source_hash, first_seen from dwh.stored_routines"
        " where routine_name <> 'nothing' order by 1, 2"
    )
    others = crowded.query(unchanged)
    (before,) = stored(crowded, "source_hash, first_seen, last_seen", "nothing")
    crowded.execute(
        "create or replace function public.nothing() returns trigger language plpgsql as $$ begin return new; end $$"
    )
    crowded.execute(CALL)
    (after,) = stored(crowded, "source_hash, first_seen, last_seen", "nothing")
    assert after[0] != before[0]
    assert after[1] == before[1]
    assert after[2] > before[2]
    assert crowded.query(unchanged) == others


def test_vanished_routines_are_marked_until_they_return(crowded: Database) -> None:
    """A dropped overload is marked once, keeps its source, and is unmarked when it is made again."""
    crowded.execute(CALL)
    crowded.execute("drop function public.twice(text, text)")
    crowded.execute(CALL)
    vanished = "vanished_at is not null, source like '%%a || b%%'"
    assert stored(crowded, vanished, "twice") == [(False, False), (True, True)]
    moment = crowded.value("select vanished_at from dwh.stored_routines where vanished_at is not null")
    crowded.execute(CALL)
    assert crowded.value("select vanished_at from dwh.stored_routines where vanished_at is not null") == moment
    crowded.execute("create function public.twice(a text, b text) returns text language sql as 'select a || b'")
    crowded.execute(CALL)
    assert stored(crowded, vanished, "twice") == [(False, False), (False, True)]


def test_what_fails_is_written_down_and_stops_nothing(crowded: Database) -> None:
    """A routine whose type is gone from the catalogue fails alone; it is not taken for vanished, and comes back."""
    crowded.execute(CALL)
    twice = "update pg_catalog.pg_proc set prorettype = %s where oid = 'public.twice(int)'::regprocedure"
    crowded.execute("set allow_system_table_mods = on")
    crowded.execute(twice, [4_000_000_000])
    crowded.execute("create function public.later() returns int language sql return 1")
    crowded.execute(CALL)
    assert errors(crowded) == [("public.twice(integer)", "XX000")]
    assert len(stored(crowded, "1", "later")) == 1
    assert crowded.value("select count(*) from dwh.stored_routines where vanished_at is not null") == 0
    crowded.execute(twice, [23])
    crowded.execute(CALL)
    assert len(errors(crowded)) == 1
    assert crowded.value(
        "select bool_and(last_seen = (select max(last_seen) from dwh.stored_routines)) from dwh.stored_routines"
    )


def test_a_routine_too_wide_to_store_fails_alone(crowded: Database) -> None:
    """Arguments longer than an index entry are a failure of that routine, with PostgreSQL's own words."""
    types: Sequence[str] = [
        name for (name,) in crowded.query("select 't' || md5(n::text) || md5('a' || n) from generate_series(1, 90) n")
    ]
    for name in types:
        crowded.execute(f'create type public."{name[:63]}" as (a int)')
    arguments = ", ".join(f'public."{name[:63]}"' for name in types)
    crowded.execute(f"create function public.wide({arguments}) returns int language sql return 1")
    crowded.execute(CALL)
    ((step, sqlstate),) = errors(crowded)
    assert step.startswith("public.wide(")
    assert sqlstate == "54000"
    assert len(stored(crowded, "1", "twice")) == 2


def test_members_of_extensions_are_left_out(crowded: Database) -> None:
    """A routine that joins an extension is no longer ours."""
    crowded.execute("create function public.fuzzy() returns int language sql return 1")
    crowded.execute("alter extension dblink add function public.fuzzy()")
    crowded.execute(CALL)
    assert stored(crowded, "1", "fuzzy") == []
    assert stored(crowded, "1", "dblink") == []


def test_who_may_call_it(warehouse: Database) -> None:
    """The runner may, readers may not; the owner's helper is nobody else's."""
    with warehouse.connect("headrace_runner") as session:
        session.execute(CALL)
        with raises("42501"):
            session.execute("select etl.aggregate_definition(1)")
    for role in ("headrace_reader", "headrace_monitor"):
        with warehouse.connect(role) as session, raises("42501"):
            session.execute(CALL)
    assert warehouse.value("select count(*) > 40 from dwh.stored_routines")


def test_a_cancel_is_not_swallowed(crowded: Database) -> None:
    """A timeout ends the call and leaves what was stored before."""
    crowded.execute(CALL)
    before = crowded.query("select * from dwh.stored_routines order by 1, 2, 3")
    crowded.execute("create function public.later() returns int language sql return 1")
    with crowded.connect(autocommit=False) as blocker:
        blocker.execute("lock table dwh.stored_routines in share mode")
        crowded.execute("set statement_timeout = '200ms'")
        with raises("57014"):
            crowded.execute(CALL)
        crowded.execute("reset statement_timeout")
    assert crowded.query("select * from dwh.stored_routines order by 1, 2, 3") == before
    assert errors(crowded) == []
