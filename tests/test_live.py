"""Writers, runs and kills at once: whatever readers of the warehouse see is a state that the source really had."""

from __future__ import annotations

import contextlib
import random
import threading
import time

import psycopg
import pytest

from tests.capture import PIPELINE, add_log_table, errors, may_replicate
from tests.support import Flow, wait_until
from tests.test_log_capture import writers

SECONDS = 60
TABLES = ("public.account", "public.entry")
SCHEMA = """
create table public.account (id int primary key, balance bigint not null);
create table public.entry (account int, amount bigint);
alter table public.entry replica identity full;
insert into public.account select n, 0 from generate_series(1, 10) n;
"""
# Whatever is committed, the entries of an account add up to its balance.
TRANSFER = """
do $do$
declare
  v_from integer := 1 + (random() * 9)::integer;
  v_to integer := 1 + (random() * 9)::integer;
  v_amount bigint := (random() * 100)::bigint;
begin
  perform from public.account where id in (v_from, v_to) order by id for update;
  update public.account set balance = balance - v_amount where id = v_from;
  update public.account set balance = balance + v_amount where id = v_to;
  insert into public.entry values (v_from, -v_amount), (v_to, v_amount);
  if random() < 0.1 then
    delete from public.entry where account = v_from;
    update public.account set balance = 0 where id = v_from;
  end if;
  if random() < 0.05 then
    raise division_by_zero;
  end if;
exception when division_by_zero then
  null;
end
$do$;
select pg_sleep(0.01)
"""
BALANCED = """
select a.id, a.balance, e.total
from mrr.account a
full join (select account, sum(amount) as total from mrr.entry group by 1) e on e.account = a.id
where coalesce(a.balance, 0) <> coalesce(e.total, 0)
"""
WORKING = """
select from pg_catalog.pg_locks l
where l.locktype = 'advisory'
  and l.database = (select oid from pg_catalog.pg_database where datname = current_database())
"""


@pytest.mark.parametrize("max_changes", [1000])
def test_every_batch_is_a_state_of_the_source(source: Flow, max_changes: int) -> None:
    """With several writers, commits that are not flushed, and the warehouse's sessions killed again and again."""
    may_replicate(source.operational)
    source.operational.execute(SCHEMA)
    for table in TABLES:
        add_log_table(source, table)
    source.warehouse.execute(f"update etl.settings set max_changes = {max_changes}")
    stop = threading.Event()
    victim: list[int] = []
    runs = threading.Thread(target=run_until, args=[source, stop, victim], daemon=True)
    killer = threading.Thread(target=kill_until, args=[source, stop, victim], daemon=True)
    looks = 0
    with writers(source.operational, *[TRANSFER] * 3, settings="set synchronous_commit = off"):
        runs.start()
        killer.start()
        deadline = time.monotonic() + SECONDS
        while time.monotonic() < deadline:
            assert source.warehouse.query(BALANCED) == []
            looks += 1
            time.sleep(0.05)
        stop.set()
        killer.join(10)
        runs.join(30)
    assert not runs.is_alive(), "a run does not end"
    source.operational.execute("insert into public.entry values (1, 0)")
    wait_until(lambda: not source.operational.query("select from pg_catalog.pg_replication_slots where active"))
    wait_until(lambda: not source.warehouse.query(WORKING), what="the end of the session that was killed last")
    source.run(PIPELINE)
    assert source.last_run("status", PIPELINE) == ("succeeded",)
    for table in TABLES:
        source.assert_mirror_equals_source(table)
    assert source.warehouse.query(BALANCED) == []
    assert looks > 20
    assert source.warehouse.value("select count(*) from etl.run_log where status = 'succeeded'") > 3, errors(source)
    assert source.warehouse.value("select count(*) from etl.run_log where status = 'aborted'") > 0
    source.warehouse.call("etl.reconcile")
    assert source.warehouse.value("select sum(rows_different) from etl.reconciliation") == 0


def run_until(flow: Flow, stop: threading.Event, victim: list[int]) -> None:
    """Run again and again, in a session of its own that may be killed."""
    while not stop.is_set():
        with contextlib.suppress(psycopg.Error), flow.warehouse.connect() as session:
            victim[:] = [session.info.backend_pid]
            while not stop.is_set():
                session.execute(f"call etl.run('{PIPELINE}')")


def kill_until(flow: Flow, stop: threading.Event, victim: list[int]) -> None:
    """Kill the session that runs, or its session at the source, at random moments."""
    chance = random.Random(1)
    with flow.warehouse.connect() as here, flow.operational.connect() as there:
        while not stop.wait(chance.uniform(0.2, 1.5)):
            if chance.random() < 0.7:
                here.execute("select pg_terminate_backend(pid) from unnest(%s::int[]) pid", [victim])
            else:
                there.execute(
                    "select pg_terminate_backend(pid) from pg_catalog.pg_stat_activity"
                    " where datname = current_database() and usename = 'headrace_source'"
                )
