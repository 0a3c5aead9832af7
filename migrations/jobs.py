"""Hands jobs/warehouse/ to pg_cron: each file is one SELECT of schedule, command and username.

``etl.job`` is written in the deployment's transaction. pg_cron follows after the commit, since it may live in another
database: there this warehouse's jobs, ``headrace:<warehouse_id>:<file>``, are made the same, and nobody else's touched.
"""

from __future__ import annotations

from pathlib import Path

import psycopg
from alembic.runtime.migration import MigrationContext
from alembic.util import CommandError
from sqlalchemy.exc import DBAPIError

from migrations.script import literal, run

ROOT = Path(__file__).resolve().parent.parent / "jobs" / "warehouse"

# Where pg_cron lives, as far as this role may know.
PLACE = """
select case
    when pg_has_role('pg_read_all_settings', 'usage') then current_setting('cron.database_name', true)
    when to_regnamespace('cron') is not null then current_database()
end
"""

# What pg_cron shall hold for this warehouse.
DECLARED = """
select
    set_config('headrace.warehouse_id', etl.warehouse_id(), false) as warehouse_id,
    set_config('headrace.jobs', coalesce(jsonb_agg(j), '[]')::text, false) as jobs,
    set_config('headrace.scheduled', 'false', false) as scheduled
from (
    select
        format('headrace:%s:%s', etl.warehouse_id(), job) as name,
        schedule,
        command,
        username,
        current_database() as database
    from etl.job
) as j;
"""

# That it shall hold none.
NONE = """
select
    set_config('headrace.warehouse_id', (select warehouse_id from etl.warehouse), false) as warehouse_id,
    set_config('headrace.jobs', '[]', false) as jobs;
"""

# Runs in pg_cron's database, after those settings. A role that is no superuser acts as the runner, whose jobs they are.
SYNCHRONISE = r"""
do $$
declare
    v_job record;
    v_jobs constant jsonb := current_setting('headrace.jobs');
    v_own constant text := format('headrace:%s:', current_setting('headrace.warehouse_id'));
    v_is_superuser constant boolean := (select r.rolsuper from pg_roles r where r.rolname = current_user);
begin
    if to_regnamespace('cron') is null and v_jobs <> '[]' and v_is_superuser
       and current_setting('cron.database_name', true) = current_database() then
        create extension pg_cron;
    end if;
    if to_regnamespace('cron') is null then
        if v_jobs = '[]' then
            raise notice 'no pg_cron here: if one elsewhere has jobs named %..., unschedule them there', v_own;
        else
            raise warning 'pg_cron is not to be found, so nothing runs by itself. Run by hand, or from any crontab:'
                using hint = (
                    select string_agg(format(E'\n  %s  psql -c "%s"', j ->> 'schedule', j ->> 'command'), '')
                    from jsonb_array_elements(v_jobs) as j
                );
        end if;
        return;
    end if;
    if not v_is_superuser then
        set local role headrace_runner;
    end if;

    perform cron.unschedule(j.jobid)
    from cron.job j
    where starts_with(j.jobname, v_own)
      and not v_jobs @> jsonb_build_array(jsonb_build_object('name', j.jobname, 'username', j.username));

    for v_job in
        select
            d.*,
            j.jobid,
            (j.schedule, j.command, j.database) is distinct from (d.schedule, d.command, d.database) as is_changed
        from jsonb_to_recordset(v_jobs) as d (name text, schedule text, command text, database text, username text)
        left join cron.job j on j.jobname = d.name and j.username = d.username
    loop
        if v_job.jobid is null then
            perform cron.schedule_in_database(
                v_job.name, v_job.schedule, v_job.command, v_job.database, nullif(v_job.username, current_user)
            );
        elsif v_job.is_changed then
            perform cron.alter_job(v_job.jobid, v_job.schedule, v_job.command, v_job.database);
        end if;
    end loop;
    perform set_config('headrace.scheduled', 'true', false);
exception
    when insufficient_privilege then
        raise warning 'pg_cron refuses this role, nothing was scheduled: %', sqlerrm
            using hint = format(
                'Have a superuser run, in database %I: grant usage on schema cron to headrace_runner;'
                ' grant execute on function cron.schedule_in_database, cron.alter_job to headrace_runner;',
                current_database()
            );
end
$$;
"""

# Tells etl.status whether pg_cron took them.
RECORD = """
update etl.job set is_scheduled = current_setting('headrace.scheduled')::boolean
where is_scheduled <> current_setting('headrace.scheduled')::boolean;
"""


def declare(migration: MigrationContext) -> None:
    """Make ``etl.job`` what the files say, within the open transaction and in the role of the owner."""
    files = sorted(ROOT.glob("*.sql"))
    names = ", ".join(literal(file.stem) for file in files)
    run(f"delete from etl.job where job <> all (array[{names}]::text[]);", migration)
    for file in files:
        query = file.read_text(encoding="utf-8").rstrip().removesuffix(";")
        try:
            run(
                f"-- jobs/warehouse/{file.name}\n"
                "insert into etl.job (job, schedule, command, username)\n"
                f"select {literal(file.stem)}, j.schedule, j.command, j.username from (\n{query}\n) as j\n"
                "on conflict (job) do update\n"
                "set schedule = excluded.schedule, command = excluded.command, username = excluded.username;",
                migration,
            )
        except DBAPIError as error:
            raise CommandError(
                f"jobs/warehouse/{file.name}: {error.orig}\nThe whole upgrade was rolled back."
            ) from None


def identify(warehouse: psycopg.Connection) -> str | None:
    """Return the id in the names of the warehouse's jobs, if it is deployed."""
    ((is_deployed,),) = warehouse.execute("select to_regclass('etl.warehouse') is not null").fetchall()
    if not is_deployed:
        return None
    rows = warehouse.execute("select warehouse_id from etl.warehouse").fetchall()
    return rows[0][0] if rows else None


def unschedule(warehouse_id: str, scheduler: psycopg.Connection) -> None:
    """Take away all jobs of a warehouse."""
    _synchronise(warehouse_id, "[]", scheduler)


def synchronise(warehouse: psycopg.Connection, scheduler: psycopg.Connection) -> None:
    """Make the jobs that pg_cron holds for this warehouse what ``etl.job`` says.

    Args:
        warehouse: a connection to the warehouse.
        scheduler: a connection in autocommit mode to the database that pg_cron lives in.
    """
    ((warehouse_id, jobs, _),) = warehouse.execute(DECLARED).fetchall()
    warehouse.commit()
    scheduled = _synchronise(warehouse_id, jobs, scheduler)
    warehouse.execute("select set_config('headrace.scheduled', %s, false)", [scheduled])
    warehouse.execute(RECORD)
    warehouse.commit()


def _synchronise(warehouse_id: str, jobs: str, scheduler: psycopg.Connection) -> str:
    """Run SYNCHRONISE, and return whether pg_cron took the jobs: ``true`` or ``false``."""
    scheduler.execute(
        "select set_config('headrace.warehouse_id', %s, false), set_config('headrace.jobs', %s, false),"
        " set_config('headrace.scheduled', 'false', false)",
        [warehouse_id, jobs],
    )
    try:
        scheduler.execute(SYNCHRONISE)
    except psycopg.Error as error:
        raise CommandError(f"the warehouse is deployed, but pg_cron refuses its jobs: {error}") from None
    scheduled: str
    ((scheduled,),) = scheduler.execute("select current_setting('headrace.scheduled')").fetchall()
    return scheduled
