"""Makes the roles anew that somebody dropped by force, with what the revisions so far have granted them.

Routines and views carry their grants in their own files, so all files are deployed again then. Jobs are pg_cron's, by
name of the role. A password, and a membership granted by hand, are gone with the old role.
"""

from __future__ import annotations

from alembic.runtime.migration import MigrationContext

from migrations.script import run

MEND = r"""
do $$
declare
    v_role text;
    v_gone text[] := '{}';
    c_is_16 constant boolean := current_setting('server_version_num')::int >= 160000;
    c_member constant text := case when c_is_16 then ' with inherit true, set true' else '' end;
begin
    foreach v_role in array array['headrace_runner', 'headrace_monitor', 'headrace_reader']
    loop
        if to_regrole(v_role) is null then
            execute format('create role %I login', v_role);
        elsif has_schema_privilege(v_role, case v_role when 'headrace_reader' then 'dwh' else 'etl' end, 'usage') then
            continue;
        end if;
        v_gone := v_gone || v_role;
        execute format('grant connect on database %I to %I', current_database(), v_role);
        raise warning 'role % was dropped, or its rights were: both are mended', v_role
            using hint = 'Give it a password where it needs one, and grant it to whom it was granted.';
    end loop;
    perform set_config('headrace.roles_gone', array_to_string(v_gone, ','), true);
    if 'headrace_runner' = any (v_gone)
       and not pg_has_role(current_user, 'headrace_runner', case when c_is_16 then 'set' else 'member' end) then
        execute 'grant headrace_runner to current_user' || c_member;
    end if;
    if v_gone = '{}' then
        return;
    end if;

    set local role headrace_owner;
    grant usage on schema etl, mrr, stg, dwh to headrace_runner;
    grant usage on schema etl to headrace_monitor;
    grant usage on schema dwh to headrace_reader;
    grant select on all tables in schema dwh to headrace_reader;
    alter default privileges in schema dwh grant select on tables to headrace_reader;
    execute (
        select format('grant select on %s to headrace_monitor', string_agg(c.oid::regclass::text, ', '))
        from pg_class c
        where c.relnamespace = 'etl'::regnamespace
          and c.relname in (
              'source', 'source_table', 'source_column', 'pipeline', 'stage', 'dimension', 'step', 'batch',
              'batch_source', 'batch_table', 'run_log', 'step_log', 'procedure_errors', 'job', 'slot', 'watermark',
              'reconciliation', 'check_rule', 'backup_log', 'fact', 'layout'
          )
    );
    reset role;
end
$$;
"""


def mend(migration: MigrationContext) -> bool:
    """Make roles anew that are gone, within the open transaction, and tell whether any was."""
    run(MEND, migration)
    if migration.as_sql:
        return True
    assert migration.connection is not None
    return bool(migration.connection.exec_driver_sql("select current_setting('headrace.roles_gone')").scalar())
