"""A network that is cut without a reset: packets are dropped, and nobody is told."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from tests.conftest import SAMPLE, SOURCE_ROLE, login, register
from tests.faults import Spare, assert_all_arrived, errors, fails, runs, set_source, spare
from tests.network import Cable, inside, network
from tests.support import Database, Flow, locked, raises, wait_until, waiting_for_lock

SCHEMA = Path(__file__).resolve().parent.parent / "db" / "operational" / "schema.sql"
SESSIONS = "select state from pg_catalog.pg_stat_activity where usename = %s"


@dataclass(frozen=True)
class Remote:
    """The sample with its source behind a cable of its own; the test itself reaches the source over another one."""

    flow: Flow
    cable: Cable


@pytest.fixture
def remote(cloned_warehouse: Callable[[], AbstractContextManager[Database]]) -> Iterator[Remote]:
    """Yield the sample, loaded once, with changes that wait at a source in a namespace of its own."""
    with ExitStack() as stack:
        namespace, cable, control = stack.enter_context(network())
        with inside(namespace):
            instance: Spare = stack.enter_context(spare("operational"))
            settings = instance.server.database("postgres")
            settings.execute("alter system set listen_addresses = '*'")
            with Path(settings.value("show hba_file")).open("a") as file:
                file.write("host all all 198.18.0.0/15 scram-sha-256\n")
            settings.close()
            instance.stop()
            instance.start()
        operational = replace(instance.server, host=control.far).database(instance.name)
        login(operational.server, SOURCE_ROLE)
        operational.execute(SCHEMA.read_text(encoding="utf-8"))
        operational.execute(
            f"grant usage on schema public to {SOURCE_ROLE};"
            f" grant select on all tables in schema public to {SOURCE_ROLE}"
        )
        far = Database(replace(operational.server, host=cable.far), operational.name)
        flow = register(far, stack.enter_context(cloned_warehouse()), *SAMPLE)
        flow.operational = operational
        flow.seed()
        flow.run()
        operational.execute("update public.customers set country = 'NO'; insert into public.sales values (1, 1, 9)")
        set_source(
            flow, connect_timeout="2", keepalives_idle="1", keepalives_interval="1", keepalives_count="2",
            tcp_user_timeout="3000",
            options="-c tcp_keepalives_idle=1 -c tcp_keepalives_interval=1 -c tcp_keepalives_count=2"
            " -c tcp_user_timeout=3000",
        )  # fmt: skip
        yield Remote(flow, cable)
        operational.close()


@pytest.mark.parametrize("waits", ["for an answer", "to ask"])
def test_network_is_cut(remote: Remote, waits: str) -> None:
    """Keepalives end a run that waits for an answer, tcp_user_timeout one that asks; the source lets go by itself."""
    flow, cable = remote.flow, remote.cable
    with ExitStack() as stack:
        if waits == "for an answer":
            place, mode = (flow.operational, "public.sales"), "access exclusive"
        else:
            place, mode = (flow.warehouse, "mrr.customers"), "share"
        stack.enter_context(locked(*place, mode))
        run = flow.start()
        waiting_for_lock(*place)
        assert flow.operational.query(SESSIONS, [SOURCE_ROLE])
        with cable.cut():
            if waits == "to ask":
                stack.close()
            with raises("08006", message="timed out"):
                run.finish()
            assert fails(flow)[:2] == "08"
            stack.close()
            wait_until(lambda: not flow.operational.query(SESSIONS, [SOURCE_ROLE]), what="the source to let go")
    assert runs(flow) == ["succeeded", "failed", "failed"]
    assert [sqlstate for sqlstate, *_ in errors(flow)] == ["08006", "08001"]
    flow.run(force=True)
    assert_all_arrived(flow)


def test_network_that_is_whole_is_not_given_up(remote: Remote) -> None:
    """A source that is busy for longer than those limits, on a network that is whole, is waited for."""
    flow = remote.flow
    with locked(flow.operational, "public.sales"):
        run = flow.start()
        waiting_for_lock(flow.operational, "public.sales")
        flow.operational.execute("select pg_catalog.pg_sleep(6)")
        assert run.is_working
    run.finish()
    assert_all_arrived(flow)
