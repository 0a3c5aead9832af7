"""pg_cron runs the jobs of jobs/ end to end: what it says of them, and what the log says."""

from __future__ import annotations

from tests.conftest import SOURCE_ROLE
from tests.support import Flow, Row, wait_until

TICK = 130  # seconds in which a job of every minute has started and ended, even on a busy machine


def details(flow: Flow, job: str) -> list[Row]:
    """Return what pg_cron says of the ended runs of a job, oldest first."""
    return flow.warehouse.query(
        "select d.status, d.return_message from cron.job_run_details as d join cron.job as j using (jobid)"
        " where j.jobname = %s and d.status in ('succeeded', 'failed') order by d.runid",
        [job],
    )


def arrived(flow: Flow, sales: int) -> bool:
    """Tell whether the last run of the sample has succeeded and its mirror has so many sales."""
    return (
        flow.warehouse.value(
            "select (select count(*) from mrr.sales) = %s and (select r.status = 'succeeded' from etl.run_log as r"
            " where r.pipeline = 'sales' and r.status <> 'skipped' order by r.run_id desc limit 1)",
            [sales],
        )
        is True
    )


def test_jobs_run_by_themselves(cron_warehouse: Flow) -> None:
    """pg_cron starts the deployed jobs: they succeed and fail as manual runs do, and are logged alike."""
    flow = cron_warehouse
    job = f"headrace:{flow.warehouse.value('select etl.warehouse_id()')}:run"
    assert flow.warehouse.row(
        "select schedule, command, username, database, active from cron.job where jobname = %s", [job]
    ) == ("* * * * *", "call etl.run()", "headrace_runner", flow.warehouse.name, True)
    assert flow.warehouse.value("select next_run_at > now() from etl.status where pipeline = 'sales'")
    flow.seed()
    flow.operational.execute("create table public.closed (a int)")
    flow.add_table("public.closed", "closed")

    status, message = wait_until(lambda: details(flow, job), TICK, "pg_cron's first run")[0]
    assert status == "succeeded", message
    wait_until(lambda: arrived(flow, 13), TICK, "the first sales")
    flow.assert_mirrors_equal_source()
    flow.assert_facts_equal_model()
    for pipeline in ("sales", "closed"):
        run = flow.last_run("status, started_by, started_from", pipeline)
        assert run == ("succeeded", "headrace_runner", "pg_cron")

    # One pipeline cannot be read any more: its run fails and says so everywhere, and the other one goes on.
    flow.operational.execute(f"revoke select on public.closed from {SOURCE_ROLE}")
    flow.operational.execute("insert into public.sales values (1, 1, 9)")
    status, message = wait_until(
        lambda: [row for row in details(flow, job) if row[0] == "failed"], TICK, "pg_cron's failing run"
    )[0]
    assert "permission denied for table closed" in message
    assert flow.last_run("status, started_by, started_from", "closed") == ("failed", "headrace_runner", "pg_cron")
    assert flow.warehouse.query(
        "select sqlstate, pipeline, step, occurred_for from etl.procedure_errors order by error_id desc limit 1"
    ) == [("42501", "closed", "closed", "headrace_runner")]
    wait_until(lambda: arrived(flow, 14), TICK, "the next sale")
    flow.assert_mirrors_equal_source()
    flow.assert_facts_equal_model()
