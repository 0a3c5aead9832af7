"""pg_cron runs the jobs of jobs/ end to end: what it says of them, and what the log says."""

from __future__ import annotations

from tests.support import Flow, Row, wait_until

TICK = 130  # seconds in which a job of every minute has started and ended, even on a busy machine


def details(flow: Flow, job: str) -> list[Row]:
    """Return what pg_cron says of the ended runs of a job, oldest first."""
    return flow.warehouse.query(
        "select d.status, d.return_message from cron.job_run_details as d join cron.job as j using (jobid)"
        " where j.jobname = %s and d.status in ('succeeded', 'failed') order by d.runid",
        [job],
    )


def test_jobs_run_by_themselves(cron_warehouse: Flow) -> None:
    """pg_cron starts the deployed job: it succeeds and fails as a manual run does, and both are logged alike."""
    flow = cron_warehouse
    warehouse_id = flow.warehouse.value("select etl.warehouse_id()")
    job = f"headrace:{warehouse_id}:run"
    assert flow.warehouse.query(
        "select command like 'call etl.run(%%', username, database, active from cron.job where jobname = %s", [job]
    ) == [(True, "headrace_runner", flow.warehouse.name, True)]
    assert flow.warehouse.value("select next_run_at > now() from etl.status where pipeline = 'sales'")
    flow.warehouse.execute("update cron.job set schedule = '* * * * *' where jobname = %s", [job])
    flow.seed()
    # A second pipeline whose table cannot be read: the run of all goes on with the others and ends as failed.
    flow.operational.execute("create table public.closed (a int)")
    flow.add_table("public.closed", "closed")

    ((status, message),) = wait_until(lambda: details(flow, job), TICK, "pg_cron's first run")
    assert status == "succeeded", message
    flow.assert_mirrors_equal_source()
    flow.assert_facts_equal_model()
    assert flow.last_run("status, started_by, started_from") == ("succeeded", "headrace_runner", "pg_cron")

    flow.operational.execute(
        "revoke select on public.closed from headrace_source; insert into public.sales values (1, 1, 9)"
    )
    status, message = wait_until(lambda: details(flow, job)[1:], TICK, "pg_cron's second run")[0]
    assert status == "failed"
    assert "permission denied for table closed" in message
    flow.assert_mirrors_equal_source()
    flow.assert_facts_equal_model()
    assert flow.last_run("status, started_by, started_from", "closed") == ("failed", "headrace_runner", "pg_cron")
    assert flow.warehouse.query(
        "select sqlstate, pipeline, step, occurred_for from etl.procedure_errors order by error_id desc limit 1"
    ) == [("42501", "closed", "closed", "headrace_runner")]
