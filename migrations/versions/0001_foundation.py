"""Roles, privileges, extensions, schemas and every table of the first release."""

from __future__ import annotations

from migrations.script import run

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

# Roles belong to the cluster: another warehouse may have made them.
ROLES = r"""
do $$
declare
    v_role text;
    v_login text;
    v_is_16 constant boolean := current_setting('server_version_num')::int >= 160000;
begin
    if current_setting('server_version_num')::int < 150000 then
        raise exception 'the warehouse needs PostgreSQL 15 or newer, this is %', current_setting('server_version');
    end if;
    for v_role, v_login in
        values ('headrace_owner', 'nologin'), ('headrace_runner', 'login'),
               ('headrace_monitor', 'login'), ('headrace_reader', 'login')
    loop
        begin
            if to_regrole(v_role) is null then
                execute format('create role %I %s', v_role, v_login);
            end if;
        exception
            when duplicate_object or unique_violation then
                null;  -- another warehouse of the cluster was faster
        end;
    end loop;

    -- an administrator who is no superuser acts as the owner, and as the runner to schedule its jobs
    foreach v_role in array array['headrace_owner', 'headrace_runner']
    loop
        if not pg_has_role(current_user, v_role, case when v_is_16 then 'set' else 'member' end)
           or not pg_has_role(current_user, v_role, 'usage') then
            execute format('grant %I to current_user %s', v_role, case when v_is_16 then 'with inherit true, set true' end);
        end if;
    end loop;

    execute format('revoke all on database %I from public', current_database());
    execute format('grant create, temporary on database %I to headrace_owner', current_database());
    execute format(
        'grant connect on database %I to headrace_runner, headrace_monitor, headrace_reader', current_database()
    );
exception
    when insufficient_privilege then
        raise exception '%', sqlerrm
            using errcode = 'insufficient_privilege',
                hint = format(
                    'Have a superuser run, in database %1$I: alter database %1$I owner to %2$I; alter role %2$I createrole;'
                    || case when to_regrole('headrace_owner') is null then ''
                       else ' grant headrace_owner, headrace_runner to %2$I;' end,
                    current_database(), current_user
                );
end
$$;
"""

EXTENSIONS = r"""
do $$
declare
    v_extension text;
    v_schema text;
    c_by_superuser constant text := format(
        'Have a superuser run, in database %I: create schema etl_ext authorization %I; create extension postgres_fdw schema etl_ext;'
        ' create extension dblink schema etl_ext; create extension btree_gist schema etl_ext;'
        ' create extension pgcrypto schema etl_ext; grant usage on foreign data wrapper postgres_fdw to %I with grant option;',
        current_database(), current_user, current_user
    );
begin
    if to_regnamespace('etl_ext') is null then
        create schema etl_ext;
    end if;
    foreach v_extension in array array['postgres_fdw', 'dblink', 'btree_gist', 'pgcrypto']
    loop
        select n.nspname
        into v_schema
        from pg_extension e
        join pg_namespace n on n.oid = e.extnamespace
        where e.extname = v_extension;

        if v_schema is null then
            execute format('create extension %I schema etl_ext', v_extension);
        elsif v_schema <> 'etl_ext' then
            raise exception 'extension % is in schema %, not in etl_ext', v_extension, v_schema
                using hint = format('Move it: alter extension %I set schema etl_ext;', v_extension);
        end if;
    end loop;
    if not has_schema_privilege('headrace_owner', 'etl_ext', 'usage') then
        grant usage on schema etl_ext to headrace_owner;
    end if;
    if not has_foreign_data_wrapper_privilege('headrace_owner', 'postgres_fdw', 'usage') then
        grant usage on foreign data wrapper postgres_fdw to headrace_owner;
    end if;
exception
    when insufficient_privilege then
        raise exception '%', sqlerrm using errcode = 'insufficient_privilege', hint = c_by_superuser;
end
$$;
"""

SCHEMAS = r"""
set local role headrace_owner;
alter default privileges revoke execute on functions from public;

create schema etl;
create schema mrr;
create schema stg;
create schema dwh;
comment on schema etl is 'Control: registry of sources, tables, pipelines and steps; run log and errors; etl.run().';
comment on schema mrr is 'Mirrors: the tables of the sources, row for row as of the last captured snapshot.';
comment on schema stg is 'Change sets of the waiting batches, what is made of them, and the quarantine.';
comment on schema dwh is 'The star schema: readers see whole batches only.';

create type etl.row_counts as (
    rows_read bigint,
    rows_inserted bigint,
    rows_updated bigint,
    rows_deleted bigint,
    rows_quarantined bigint
);
comment on type etl.row_counts is 'Rows that a step read, inserted, updated, deleted and sent to quarantine.';

create type etl.failure as (
    step text,
    routine text,
    sqlstate text,
    message text,
    detail text,
    hint text,
    context text
);
comment on type etl.failure is 'An error that a phase caught, with all that PostgreSQL said of it.';

create type etl.step_report as (
    phase text,
    step text,
    attempt integer,
    batch_id bigint,
    status text,
    rows_read bigint,
    rows_inserted bigint,
    rows_updated bigint,
    rows_deleted bigint,
    rows_quarantined bigint,
    started_at timestamp with time zone,
    finished_at timestamp with time zone
);
comment on type etl.step_report is 'What becomes a row of etl.step_log; kept in variables, which no rollback touches.';

create type etl.outcome as (
    failure etl.failure,
    steps etl.step_report[],
    first_batch bigint,
    last_batch bigint
);
comment on type etl.outcome is 'What a phase did: its steps, the batches that it published, and why it failed, if it did.';

create sequence etl.change_seq;
comment on sequence etl.change_seq is 'Numbers the rows of all change sets in the order in which they were captured.';
"""

TABLES = r"""
create table dwh.dim_customer (
    customer_key bigint generated always as identity,
    source text not null,
    customer_id bigint not null,
    name text,
    country text,
    valid_from timestamp with time zone not null,
    valid_to timestamp with time zone default 'infinity'::timestamp with time zone not null,
    is_current boolean default true not null,
    is_inferred boolean default false not null,
    batch_from bigint not null,
    batch_to bigint default 9223372036854775807 not null,
    constraint dim_customer_pkey primary key (customer_key),
    constraint dim_customer_period_check check (valid_from < valid_to),
    constraint dim_customer_batches_check check (batch_from < batch_to),
    constraint dim_customer_current_check check (is_current = (valid_to = 'infinity'::timestamp with time zone)),
    constraint dim_customer_period_excl exclude using gist (source with =, customer_id with =, tstzrange(valid_from, valid_to) with &&)
);
create unique index dim_customer_current_idx on dwh.dim_customer (source, customer_id) where is_current;
create unique index dim_customer_version_idx on dwh.dim_customer (source, customer_id, batch_from);
comment on table dwh.dim_customer is 'The customer dimension, SCD2: one row per version, periods never overlap.';
comment on column dwh.dim_customer.customer_key is 'Surrogate key: one per version.';
comment on column dwh.dim_customer.source is 'Source that the member comes from.';
comment on column dwh.dim_customer.customer_id is 'The source''s own id of the customer.';
comment on column dwh.dim_customer.name is 'Name of the customer; null while the member is inferred.';
comment on column dwh.dim_customer.country is 'Country of the customer; null while the member is inferred.';
comment on column dwh.dim_customer.valid_from is 'Start of the version''s period, inclusive.';
comment on column dwh.dim_customer.valid_to is 'End of the version''s period, exclusive; infinity for the current one.';
comment on column dwh.dim_customer.is_current is 'True for the version that holds now; none for a deleted member.';
comment on column dwh.dim_customer.is_inferred is 'True while only facts speak of the customer and its own row has not come.';
comment on column dwh.dim_customer.batch_from is 'First batch whose facts refer to this version; 0 for the first version.';
comment on column dwh.dim_customer.batch_to is 'Batch from which facts refer to the next version.';

create table dwh.dim_date (
    date_day date not null,
    year integer not null,
    quarter integer not null,
    month integer not null,
    month_name text not null,
    iso_year integer not null,
    iso_week integer not null,
    day_of_month integer not null,
    day_of_week integer not null,
    day_name text not null,
    is_weekend boolean not null,
    constraint dim_date_pkey primary key (date_day)
);
comment on table dwh.dim_date is 'The date dimension: every day of each year that has facts.';
comment on column dwh.dim_date.date_day is 'The day.';
comment on column dwh.dim_date.year is 'Year.';
comment on column dwh.dim_date.quarter is 'Quarter, 1 to 4.';
comment on column dwh.dim_date.month is 'Month, 1 to 12.';
comment on column dwh.dim_date.month_name is 'English name of the month.';
comment on column dwh.dim_date.iso_year is 'Year of the ISO week.';
comment on column dwh.dim_date.iso_week is 'ISO week, 1 to 53.';
comment on column dwh.dim_date.day_of_month is 'Day of the month, 1 to 31.';
comment on column dwh.dim_date.day_of_week is 'ISO day of the week, 1 Monday to 7 Sunday.';
comment on column dwh.dim_date.day_name is 'English name of the day.';
comment on column dwh.dim_date.is_weekend is 'True on Saturday and Sunday.';

create table dwh.dim_product (
    product_key bigint generated always as identity,
    source text not null,
    product_id bigint not null,
    name text,
    product_group text,
    valid_from timestamp with time zone not null,
    valid_to timestamp with time zone default 'infinity'::timestamp with time zone not null,
    is_current boolean default true not null,
    is_inferred boolean default false not null,
    batch_from bigint not null,
    batch_to bigint default 9223372036854775807 not null,
    constraint dim_product_pkey primary key (product_key),
    constraint dim_product_period_check check (valid_from < valid_to),
    constraint dim_product_batches_check check (batch_from < batch_to),
    constraint dim_product_current_check check (is_current = (valid_to = 'infinity'::timestamp with time zone)),
    constraint dim_product_period_excl exclude using gist (source with =, product_id with =, tstzrange(valid_from, valid_to) with &&)
);
create unique index dim_product_current_idx on dwh.dim_product (source, product_id) where is_current;
create unique index dim_product_version_idx on dwh.dim_product (source, product_id, batch_from);
comment on table dwh.dim_product is 'The product dimension, SCD2: one row per version, periods never overlap.';
comment on column dwh.dim_product.product_key is 'Surrogate key: one per version.';
comment on column dwh.dim_product.source is 'Source that the member comes from.';
comment on column dwh.dim_product.product_id is 'The source''s own id of the product.';
comment on column dwh.dim_product.name is 'Name of the product; null while the member is inferred.';
comment on column dwh.dim_product.product_group is 'Product group of the product; null while the member is inferred.';
comment on column dwh.dim_product.valid_from is 'Start of the version''s period, inclusive.';
comment on column dwh.dim_product.valid_to is 'End of the version''s period, exclusive; infinity for the current one.';
comment on column dwh.dim_product.is_current is 'True for the version that holds now; none for a deleted member.';
comment on column dwh.dim_product.is_inferred is 'True while only facts speak of the product and its own row has not come.';
comment on column dwh.dim_product.batch_from is 'First batch whose facts refer to this version; 0 for the first version.';
comment on column dwh.dim_product.batch_to is 'Batch from which facts refer to the next version.';

create table dwh.fact_sales (
    sale_key bigint generated always as identity,
    source text not null,
    customer_id bigint not null,
    product_id bigint not null,
    customer_key bigint not null,
    product_key bigint not null,
    qty bigint not null,
    captured_at timestamp with time zone not null,
    captured_on date not null,
    batch_id bigint not null,
    constraint fact_sales_pkey primary key (customer_id, product_id, captured_on, sale_key)
) partition by range (captured_on);
comment on table dwh.fact_sales is 'One row per sale. Partitioned by month of captured_on; one index serves as primary key and finds equal sales.';
comment on column dwh.fact_sales.sale_key is 'Number of the fact; the highest of equal ones is the newest.';
comment on column dwh.fact_sales.source is 'Source that the sale comes from.';
comment on column dwh.fact_sales.customer_id is 'The source''s own id of the customer.';
comment on column dwh.fact_sales.product_id is 'The source''s own id of the product.';
comment on column dwh.fact_sales.customer_key is 'Version of the customer that was current when the sale was captured.';
comment on column dwh.fact_sales.product_key is 'Version of the product that was current when the sale was captured.';
comment on column dwh.fact_sales.qty is 'Units sold.';
comment on column dwh.fact_sales.captured_at is 'The source''s clock when the sale was captured.';
comment on column dwh.fact_sales.captured_on is 'Day of captured_at in the time zone of the warehouse.';
comment on column dwh.fact_sales.batch_id is 'Batch that captured the sale.';

create table dwh.sales_by_day (
    captured_on date not null,
    country text not null,
    product_key bigint not null,
    lines bigint not null,
    units bigint not null,
    constraint sales_by_day_pkey primary key (captured_on, country, product_key),
    constraint sales_by_day_lines_check check (lines > 0)
);
comment on table dwh.sales_by_day is 'fact_sales by day, country and product; kept up to date by every publish.';
comment on column dwh.sales_by_day.captured_on is 'Day.';
comment on column dwh.sales_by_day.country is 'Country of the customer when the sale was captured, or (unknown).';
comment on column dwh.sales_by_day.product_key is 'Version of the product when the sale was captured.';
comment on column dwh.sales_by_day.lines is 'Number of sales.';
comment on column dwh.sales_by_day.units is 'Units sold.';

create table dwh.sales_by_product (
    product_key bigint not null,
    lines bigint not null,
    units bigint not null,
    constraint sales_by_product_pkey primary key (product_key),
    constraint sales_by_product_lines_check check (lines > 0)
);
comment on table dwh.sales_by_product is 'fact_sales by product; kept up to date by every publish.';
comment on column dwh.sales_by_product.product_key is 'Version of the product.';
comment on column dwh.sales_by_product.lines is 'Number of sales.';
comment on column dwh.sales_by_product.units is 'Units sold.';

create table dwh.stored_routines (
    routine_schema text not null,
    routine_name text not null,
    arguments text not null,
    kind text not null,
    result text,
    language text not null,
    security text not null,
    owner text not null,
    source text,
    comment text,
    source_hash text not null,
    first_seen timestamp with time zone not null,
    last_seen timestamp with time zone not null,
    vanished_at timestamp with time zone,
    constraint stored_routines_pkey primary key (routine_schema, routine_name, arguments),
    constraint stored_routines_kind_check check (kind in ('function', 'procedure', 'aggregate', 'window'))
);
comment on table dwh.stored_routines is 'Copies of every routine of this database that is not the system''s or an extension''s. Written by dwh.insert_procedure_info().';
comment on column dwh.stored_routines.routine_schema is 'Schema.';
comment on column dwh.stored_routines.routine_name is 'Name.';
comment on column dwh.stored_routines.arguments is 'Identity arguments, which tell overloads apart.';
comment on column dwh.stored_routines.kind is 'function, procedure, aggregate or window.';
comment on column dwh.stored_routines.result is 'Result type; null for a procedure.';
comment on column dwh.stored_routines.language is 'Language.';
comment on column dwh.stored_routines.security is 'definer or invoker.';
comment on column dwh.stored_routines.owner is 'Owner.';
comment on column dwh.stored_routines.source is 'Source text of the whole definition.';
comment on column dwh.stored_routines.comment is 'Its COMMENT.';
comment on column dwh.stored_routines.source_hash is 'SHA-256 of the source text.';
comment on column dwh.stored_routines.first_seen is 'When it was first stored.';
comment on column dwh.stored_routines.last_seen is 'When it was last found in pg_proc.';
comment on column dwh.stored_routines.vanished_at is 'When it was first missed; null while it exists.';

create table etl.deployed_file (
    path text not null,
    sha256 text not null,
    deployed_at timestamp with time zone default clock_timestamp() not null,
    constraint deployed_file_pkey primary key (path)
);
comment on table etl.deployed_file is 'What alembic upgrade head deployed of procedures/.';
comment on column etl.deployed_file.path is 'File below procedures/.';
comment on column etl.deployed_file.sha256 is 'Hash of its text when it was deployed.';
comment on column etl.deployed_file.deployed_at is 'When it was deployed.';

create table etl.dimension (
    dimension text not null,
    stage text not null,
    surrogate_key text not null,
    business_key text not null,
    attributes text[] not null,
    constraint dimension_pkey primary key (dimension)
);
comment on table etl.dimension is 'Dimensions that dwh.load_dimension() loads.';
comment on column etl.dimension.dimension is 'Table of the dimension, schema.name.';
comment on column etl.dimension.stage is 'Stage function that delivers its members.';
comment on column etl.dimension.surrogate_key is 'Its surrogate key column, an identity.';
comment on column etl.dimension.business_key is 'Its business key column, the same name in the stage.';
comment on column etl.dimension.attributes is 'Columns whose change opens a new version (SCD2).';

create table etl.job (
    job text not null,
    schedule text not null,
    command text not null,
    username text not null,
    is_scheduled boolean default false not null,
    constraint job_pkey primary key (job)
);
comment on table etl.job is 'Jobs that the deployment handed to pg_cron, wherever pg_cron lives.';
comment on column etl.job.job is 'Name of the job: its file below jobs/warehouse.';
comment on column etl.job.schedule is 'When it runs, as pg_cron writes it.';
comment on column etl.job.command is 'What it runs.';
comment on column etl.job.username is 'Role it runs as.';
comment on column etl.job.is_scheduled is 'True once pg_cron has taken it; false where pg_cron is absent.';

create table etl.pipeline (
    pipeline text not null,
    pipeline_id integer generated always as identity,
    paused_at timestamp with time zone,
    pause_reason text,
    on_success text,
    on_failure text,
    added_at timestamp with time zone default clock_timestamp() not null,
    constraint pipeline_pkey primary key (pipeline),
    constraint pipeline_name_check check (pipeline <> ''),
    constraint pipeline_pipeline_id_key unique (pipeline_id)
);
comment on table etl.pipeline is 'Units of consistency: the tables of a pipeline are captured from one source snapshot and published together or not at all.';
comment on column etl.pipeline.pipeline is 'Name of the pipeline.';
comment on column etl.pipeline.pipeline_id is 'Number used for the pipeline''s advisory lock.';
comment on column etl.pipeline.paused_at is 'Set while the pipeline is paused by etl.pause(); its runs are logged as skipped.';
comment on column etl.pipeline.pause_reason is 'Why it is paused, in words.';
comment on column etl.pipeline.on_success is 'Callback procedure schema.name(pipeline text, run_id bigint, status text), called after a run that succeeded.';
comment on column etl.pipeline.on_failure is 'Callback procedure of the same form, called after a run that failed or was canceled.';
comment on column etl.pipeline.added_at is 'When it was registered.';

create table etl.run_log (
    run_id bigint generated always as identity,
    pipeline text not null,
    action text not null,
    status text not null,
    started_by text not null,
    started_from text not null,
    backend_pid integer not null,
    dry_run boolean default false not null,
    started_at timestamp with time zone default clock_timestamp() not null,
    finished_at timestamp with time zone,
    first_batch bigint,
    last_batch bigint,
    message text,
    constraint run_log_pkey primary key (run_id),
    constraint run_log_status_check check (status in ('running', 'succeeded', 'failed', 'skipped', 'canceled', 'aborted')),
    constraint run_log_finished_check check ((status = 'running') = (finished_at is null))
);
create index run_log_pipeline_idx on etl.run_log (pipeline, run_id);
create index run_log_running_idx on etl.run_log (pipeline) where status = 'running';
comment on table etl.run_log is 'One row per run, whoever started it; survives every rollback.';
comment on column etl.run_log.run_id is 'Number of the run.';
comment on column etl.run_log.pipeline is 'Pipeline.';
comment on column etl.run_log.action is 'run, capture, publish, rebuild or replay_quarantine.';
comment on column etl.run_log.status is 'running, succeeded, failed, skipped, canceled or aborted.';
comment on column etl.run_log.started_by is 'Role that started it.';
comment on column etl.run_log.started_from is 'pg_cron, or the application name of the session.';
comment on column etl.run_log.backend_pid is 'Process that works on it.';
comment on column etl.run_log.dry_run is 'True if everything it did was rolled back on purpose.';
comment on column etl.run_log.started_at is 'When it was opened.';
comment on column etl.run_log.finished_at is 'When it was closed; null while it runs.';
comment on column etl.run_log.first_batch is 'First batch that it published.';
comment on column etl.run_log.last_batch is 'Last batch that it published.';
comment on column etl.run_log.message is 'The outcome in words.';

create table etl.secret (
    secret text not null,
    value bytea not null,
    constraint secret_pkey primary key (secret)
);
comment on table etl.secret is 'Keys that must not leave the warehouse.';
comment on column etl.secret.secret is 'What it is for: mask is the key of the hash mask.';
comment on column etl.secret.value is 'The secret itself; readable by headrace_owner alone.';

create table etl.settings (
    one boolean default true not null,
    fetch_size integer default 20000 not null,
    log_retention interval default '90 days'::interval not null,
    cron_retention interval default '7 days'::interval not null,
    constraint settings_pkey primary key (one),
    constraint settings_one_row_check check (one),
    constraint settings_fetch_size_check check (fetch_size between 100 and 1000000),
    constraint settings_log_retention_check check (log_retention >= interval '1 hour'),
    constraint settings_cron_retention_check check (cron_retention >= interval '1 hour')
);
comment on table etl.settings is 'Policy of the whole warehouse, one row; change it by UPDATE as headrace_owner.';
comment on column etl.settings.one is 'Holds the table to one row.';
comment on column etl.settings.fetch_size is 'Rows per fetch from a source.';
comment on column etl.settings.log_retention is 'Age at which etl.purge() deletes runs, steps and errors.';
comment on column etl.settings.cron_retention is 'Age at which etl.purge() deletes rows of cron.job_run_details.';

create table etl.source (
    source text not null,
    added_at timestamp with time zone default clock_timestamp() not null,
    constraint source_pkey primary key (source)
);
comment on table etl.source is 'Registered operational databases. Written by etl.add_source() and etl.remove_source().';
comment on column etl.source.source is 'Name of the source: also of its foreign server and of the schema of its foreign tables.';
comment on column etl.source.added_at is 'When it was registered.';

create table etl.stage (
    stage text not null,
    mirror text not null,
    constraint stage_pkey primary key (stage, mirror)
);
comment on table etl.stage is 'Which change sets a stage function cleans, types and judges.';
comment on column etl.stage.stage is 'Stage function, schema.name(p_batch bigint).';
comment on column etl.stage.mirror is 'Mirror whose change set it reads.';

create table etl.warehouse (
    one boolean default true not null,
    warehouse_id text not null,
    system_identifier bigint not null,
    database_oid oid not null,
    time_zone text default 'UTC' not null,
    created_at timestamp with time zone default clock_timestamp() not null,
    constraint warehouse_pkey primary key (one),
    constraint warehouse_one_row_check check (one),
    constraint warehouse_id_form_check check (warehouse_id ~ '^[0-9a-f]{8}$')
);
comment on table etl.warehouse is 'The identity of this warehouse: one row. A clone or a copy restored elsewhere is given a new id by etl.warehouse_id().';
comment on column etl.warehouse.one is 'Holds the table to one row.';
comment on column etl.warehouse.warehouse_id is 'Eight hexadecimal digits in the names of this warehouse''s jobs, slots and publications.';
comment on column etl.warehouse.system_identifier is 'The cluster''s system identifier when the id was given; another one means a copy.';
comment on column etl.warehouse.database_oid is 'The database''s oid when the id was given; another one means a clone.';
comment on column etl.warehouse.time_zone is 'Time zone that turns captured_at into captured_on; fixed at the first load.';
comment on column etl.warehouse.created_at is 'When the id was given.';

create unlogged table stg.completed_member (
    dimension text not null,
    member_key bigint not null,
    constraint completed_member_pkey primary key (dimension, member_key)
);
comment on table stg.completed_member is 'Inferred members that a publish completed and whose facts the aggregates must move; empty between publishes.';
comment on column stg.completed_member.dimension is 'Dimension.';
comment on column stg.completed_member.member_key is 'Surrogate key of the inferred member that was completed in place.';

create table stg.quarantine (
    quarantine_id bigint generated always as identity,
    mirror text not null,
    stage text not null,
    batch_id bigint not null,
    reason text not null,
    row_key text not null,
    row_hash bigint generated always as (hashtextextended(row_key, 0)) stored not null,
    row_data jsonb not null,
    quarantined_at timestamp with time zone default clock_timestamp() not null,
    constraint quarantine_pkey primary key (quarantine_id)
);
create index quarantine_row_idx on stg.quarantine (mirror, row_hash);
comment on table stg.quarantine is 'Source rows that were judged unfit for dwh, with the reason. They leave when their source row is mended or deleted, or by etl.replay_quarantine().';
comment on column stg.quarantine.quarantine_id is 'Number of the entry; the highest of equal rows is the newest.';
comment on column stg.quarantine.mirror is 'Mirror that the row is in.';
comment on column stg.quarantine.stage is 'Stage function that judged it.';
comment on column stg.quarantine.batch_id is 'Batch that first captured the row.';
comment on column stg.quarantine.reason is 'Why it was not let into dwh.';
comment on column stg.quarantine.row_key is 'Text form of its key, or of the whole row where the table has none.';
comment on column stg.quarantine.row_hash is 'Hash of row_key, for look-ups.';
comment on column stg.quarantine.row_data is 'The row as it is in the mirror.';
comment on column stg.quarantine.quarantined_at is 'When it was judged.';

create unlogged table stg.sales_delta (
    captured_on date not null,
    country text not null,
    product_key bigint not null,
    lines bigint not null,
    units bigint not null
);
comment on table stg.sales_delta is 'What a publish changes in the facts, on its way into the aggregates; empty between publishes.';
comment on column stg.sales_delta.captured_on is 'Day.';
comment on column stg.sales_delta.country is 'Country of the customer''s version, or (unknown).';
comment on column stg.sales_delta.product_key is 'Version of the product.';
comment on column stg.sales_delta.lines is 'Sales added, less sales removed.';
comment on column stg.sales_delta.units is 'Units added, less units removed.';

create table etl.batch (
    batch_id bigint generated always as identity,
    pipeline text not null,
    kind text default 'capture' not null,
    run_id bigint,
    captured_at timestamp with time zone not null,
    rows_changed bigint default 0 not null,
    published_at timestamp with time zone,
    published_run_id bigint,
    constraint batch_pkey primary key (batch_id),
    constraint batch_kind_check check (kind in ('capture', 'replay', 'rebuild')),
    constraint batch_pipeline_fkey foreign key(pipeline) references etl.pipeline (pipeline)
);
create index batch_pipeline_idx on etl.batch (pipeline, batch_id);
create index batch_waiting_idx on etl.batch (pipeline, batch_id) where published_at is null;
comment on table etl.batch is 'Captured batches. A batch waits until one publish has brought all waiting ones to dwh.';
comment on column etl.batch.batch_id is 'Number of the batch; batches of a pipeline are published in this order.';
comment on column etl.batch.pipeline is 'Pipeline it belongs to.';
comment on column etl.batch.kind is 'capture, replay (rows from quarantine) or rebuild (rows from a mirror).';
comment on column etl.batch.run_id is 'Run that captured it.';
comment on column etl.batch.captured_at is 'The source''s clock when the snapshot was taken.';
comment on column etl.batch.rows_changed is 'Rows in its change sets.';
comment on column etl.batch.published_at is 'When it was published; null while it waits.';
comment on column etl.batch.published_run_id is 'Run that published it.';

create table etl.procedure_errors (
    error_id bigint generated always as identity,
    run_id bigint,
    pipeline text,
    step text,
    routine text not null,
    sqlstate text not null,
    message text not null,
    detail text,
    hint text,
    context text,
    occurred_at timestamp with time zone default clock_timestamp() not null,
    occurred_for text default session_user not null,
    constraint procedure_errors_pkey primary key (error_id),
    constraint procedure_errors_sqlstate_check check (sqlstate ~ '^[0-9A-Z]{5}$'),
    constraint procedure_errors_run_id_fkey foreign key(run_id) references etl.run_log (run_id) on delete cascade
);
create index procedure_errors_occurred_at_idx on etl.procedure_errors (occurred_at);
create index procedure_errors_run_id_idx on etl.procedure_errors (run_id);
comment on table etl.procedure_errors is 'Every error that a procedure caught, with all that PostgreSQL said of it.';
comment on column etl.procedure_errors.error_id is 'Number of the error.';
comment on column etl.procedure_errors.run_id is 'Run in which it happened, if in one.';
comment on column etl.procedure_errors.pipeline is 'Pipeline.';
comment on column etl.procedure_errors.step is 'Step, mirror or routine that it happened in.';
comment on column etl.procedure_errors.routine is 'Routine that caught it.';
comment on column etl.procedure_errors.sqlstate is 'SQLSTATE.';
comment on column etl.procedure_errors.message is 'Message.';
comment on column etl.procedure_errors.detail is 'Detail.';
comment on column etl.procedure_errors.hint is 'Hint: what to do next.';
comment on column etl.procedure_errors.context is 'Call stack.';
comment on column etl.procedure_errors.occurred_at is 'When it was caught.';
comment on column etl.procedure_errors.occurred_for is 'Role whose session it was.';

create table etl.source_table (
    source_table_id integer generated always as identity,
    source text not null,
    source_schema text not null,
    source_name text not null,
    mirror text not null,
    pipeline text not null,
    capture text default 'full' not null,
    key_columns text[],
    enabled boolean default true not null,
    copied_at timestamp with time zone,
    added_at timestamp with time zone default clock_timestamp() not null,
    constraint source_table_pkey primary key (source_table_id),
    constraint source_table_source_key unique (source, source_schema, source_name),
    constraint source_table_capture_check check (capture in ('full')),
    constraint source_table_mirror_length_check check (octet_length(mirror) between 1 and 55),
    constraint source_table_source_fkey foreign key(source) references etl.source (source),
    constraint source_table_mirror_key unique (mirror),
    constraint source_table_pipeline_fkey foreign key(pipeline) references etl.pipeline (pipeline)
);
create index source_table_pipeline_idx on etl.source_table (pipeline);
comment on table etl.source_table is 'Mirrored tables. Written by etl.add_table() and etl.remove_table().';
comment on column etl.source_table.source_table_id is 'Number of the table, used in progress and locks.';
comment on column etl.source_table.source is 'Source it lives in.';
comment on column etl.source_table.source_schema is 'Its schema at the source.';
comment on column etl.source_table.source_name is 'Its name at the source.';
comment on column etl.source_table.mirror is 'Name of the mirror in mrr; its change set is stg.<mirror>_changes.';
comment on column etl.source_table.pipeline is 'Pipeline that captures and publishes it.';
comment on column etl.source_table.capture is 'Capture mode: full compares a fresh snapshot with the mirror.';
comment on column etl.source_table.key_columns is 'Source columns of its key; null for a table without one.';
comment on column etl.source_table.enabled is 'False leaves it out of capture; what is mirrored stays.';
comment on column etl.source_table.copied_at is 'When its first copy was committed; null until then.';
comment on column etl.source_table.added_at is 'When it was registered.';

create table etl.step (
    step_id integer generated always as identity,
    pipeline text not null,
    step text not null,
    routine text not null,
    target text,
    stages text[] default '{}'::text[] not null,
    depends_on text[] default '{}'::text[] not null,
    enabled boolean default true not null,
    constraint step_pkey primary key (step_id),
    constraint step_pipeline_key unique (pipeline, step),
    constraint step_pipeline_fkey foreign key(pipeline) references etl.pipeline (pipeline) on delete cascade
);
comment on table etl.step is 'Steps of the publish phase, run for every batch in the order of their dependencies.';
comment on column etl.step.step_id is 'Number of the step, used in progress.';
comment on column etl.step.pipeline is 'Pipeline that it is a step of.';
comment on column etl.step.step is 'Name of the step.';
comment on column etl.step.routine is 'Function schema.name(p_batch bigint, p_step etl.step) returns etl.row_counts.';
comment on column etl.step.target is 'Table that it loads, schema.name; etl.rebuild() finds the step by it.';
comment on column etl.step.stages is 'Stage functions that it reads; it is left out for a batch in which none of their mirrors changed.';
comment on column etl.step.depends_on is 'Steps of the same pipeline that come before it.';
comment on column etl.step.enabled is 'False leaves it out.';

create table etl.step_log (
    step_log_id bigint generated always as identity,
    run_id bigint not null,
    phase text not null,
    step text not null,
    attempt integer default 1 not null,
    batch_id bigint,
    status text not null,
    rows_read bigint default 0 not null,
    rows_inserted bigint default 0 not null,
    rows_updated bigint default 0 not null,
    rows_deleted bigint default 0 not null,
    rows_quarantined bigint default 0 not null,
    started_at timestamp with time zone not null,
    finished_at timestamp with time zone not null,
    constraint step_log_pkey primary key (step_log_id),
    constraint step_log_status_check check (status in ('succeeded', 'failed', 'canceled', 'rolled_back')),
    constraint step_log_run_id_fkey foreign key(run_id) references etl.run_log (run_id) on delete cascade
);
create index step_log_run_id_idx on etl.step_log (run_id);
comment on table etl.step_log is 'One row per step, batch and attempt, with the rows it moved.';
comment on column etl.step_log.step_log_id is 'Number of the entry.';
comment on column etl.step_log.run_id is 'Run it belongs to.';
comment on column etl.step_log.phase is 'capture or publish.';
comment on column etl.step_log.step is 'Name of the step; in the capture phase the mirror.';
comment on column etl.step_log.attempt is 'Attempt within the run.';
comment on column etl.step_log.batch_id is 'Batch it worked on.';
comment on column etl.step_log.status is 'succeeded, failed, canceled, or rolled_back where a later step of the phase failed.';
comment on column etl.step_log.rows_read is 'Rows read.';
comment on column etl.step_log.rows_inserted is 'Rows inserted.';
comment on column etl.step_log.rows_updated is 'Rows updated.';
comment on column etl.step_log.rows_deleted is 'Rows deleted.';
comment on column etl.step_log.rows_quarantined is 'Rows quarantined.';
comment on column etl.step_log.started_at is 'When it began.';
comment on column etl.step_log.finished_at is 'When it ended.';

create table etl.batch_source (
    batch_id bigint not null,
    source text not null,
    captured_at timestamp with time zone not null,
    snapshot text not null,
    lsn pg_lsn not null,
    system_identifier bigint,
    timeline integer,
    constraint batch_source_pkey primary key (batch_id, source),
    constraint batch_source_batch_id_fkey foreign key(batch_id) references etl.batch (batch_id) on delete cascade
);
comment on table etl.batch_source is 'The source snapshot that a batch was captured from.';
comment on column etl.batch_source.batch_id is 'Batch.';
comment on column etl.batch_source.source is 'Source.';
comment on column etl.batch_source.captured_at is 'The source''s clock when its snapshot was taken.';
comment on column etl.batch_source.snapshot is 'pg_current_snapshot() of the reading transaction at the source.';
comment on column etl.batch_source.lsn is 'Flushed WAL position of the source, read before the snapshot.';
comment on column etl.batch_source.system_identifier is 'The source''s system identifier, to notice another server behind the same name.';
comment on column etl.batch_source.timeline is 'The source''s timeline, to notice a restore or a failover.';

create table etl.batch_table (
    batch_id bigint not null,
    mirror text not null,
    rows_read bigint not null,
    rows_inserted bigint not null,
    rows_updated bigint not null,
    rows_deleted bigint not null,
    constraint batch_table_pkey primary key (batch_id, mirror),
    constraint batch_table_batch_id_fkey foreign key(batch_id) references etl.batch (batch_id) on delete cascade
);
comment on table etl.batch_table is 'What a batch changed, per mirror. Tables without a change have no row.';
comment on column etl.batch_table.batch_id is 'Batch.';
comment on column etl.batch_table.mirror is 'Mirror whose change set it counts.';
comment on column etl.batch_table.rows_read is 'Rows read at the source.';
comment on column etl.batch_table.rows_inserted is 'Rows marked I in the change set.';
comment on column etl.batch_table.rows_updated is 'Rows marked U in the change set.';
comment on column etl.batch_table.rows_deleted is 'Rows marked D in the change set.';

create table etl.source_column (
    source_table_id integer not null,
    position smallint not null,
    column_name text not null,
    source_type text not null,
    mirror_type text not null,
    mask text,
    mask_length integer,
    constraint source_column_pkey primary key (source_table_id, position),
    constraint source_column_source_table_id_key unique (source_table_id, column_name),
    constraint source_column_mask_check check (mask in ('drop', 'hash', 'truncate')),
    constraint source_column_mask_length_check check ((mask is not distinct from 'truncate') = (mask_length is not null)),
    constraint source_column_source_table_id_fkey foreign key(source_table_id) references etl.source_table (source_table_id) on delete cascade
);
comment on table etl.source_column is 'Columns of the mirrored tables as they were at registration, with what is left out or masked.';
comment on column etl.source_column.source_table_id is 'Table it belongs to.';
comment on column etl.source_column.position is 'Attribute number at the source.';
comment on column etl.source_column.column_name is 'Its name, the same at the source and in the mirror.';
comment on column etl.source_column.source_type is 'Its type at the source as format_type() writes it.';
comment on column etl.source_column.mirror_type is 'Its type in the mirror.';
comment on column etl.source_column.mask is 'drop: not mirrored; hash: HMAC-SHA-256 with the secret of the warehouse; truncate: the first mask_length characters.';
comment on column etl.source_column.mask_length is 'Characters kept by the mask truncate.';
"""

GRANTS = r"""
grant usage on schema etl, mrr, stg, dwh to headrace_runner;

grant usage on schema etl to headrace_monitor;
grant select on
    etl.source, etl.source_table, etl.source_column, etl.pipeline, etl.stage, etl.dimension, etl.step,
    etl.batch, etl.batch_source, etl.batch_table, etl.run_log, etl.step_log, etl.procedure_errors, etl.job
to headrace_monitor;

grant usage on schema dwh to headrace_reader;
grant select on all tables in schema dwh to headrace_reader;
alter default privileges in schema dwh grant select on tables to headrace_reader;
reset role;
"""


REMOVE_SCHEMAS = r"""
set local role headrace_owner;
do $$
declare
    v_source text;
begin
    for v_source in select s.source from etl.source s
    loop
        execute format('drop server if exists %I cascade', v_source);
        execute format('drop schema if exists %I cascade', v_source);
    end loop;
end
$$;
drop schema dwh, stg, mrr, etl cascade;
alter default privileges grant execute on functions to public;
reset role;
"""

# What others use by now is left to them.
REMOVE_EXTENSIONS = r"""
do $$
declare
    v_drop text;
begin
    revoke usage on foreign data wrapper postgres_fdw from headrace_owner;
    revoke usage on schema etl_ext from headrace_owner;
    foreach v_drop in array array[
        'drop extension postgres_fdw', 'drop extension dblink', 'drop extension btree_gist', 'drop extension pgcrypto',
        'drop schema etl_ext'
    ]
    loop
        begin
            execute v_drop;
        exception
            when dependent_objects_still_exist or insufficient_privilege then
                raise notice 'left out: % (%)', v_drop, sqlerrm;
        end;
    end loop;
end
$$;
"""

REMOVE_ROLES = r"""
do $$
declare
    v_role text;
    v_reason text;
begin
    execute format(
        'revoke all on database %I from headrace_owner, headrace_runner, headrace_monitor, headrace_reader',
        current_database()
    );
    raise notice 'PUBLIC may still not connect; if it should, as before: grant connect, temporary on database % to public;',
        quote_ident(current_database());
    foreach v_role in array array['headrace_reader', 'headrace_monitor', 'headrace_runner', 'headrace_owner']
    loop
        begin
            execute format('drop role %I', v_role);
        exception
            when dependent_objects_still_exist or insufficient_privilege or object_in_use then
                get stacked diagnostics v_reason = pg_exception_detail;
                raise notice 'role % stays: % %', v_role, sqlerrm, v_reason;
        end;
    end loop;
end
$$;
"""


def upgrade() -> None:
    """Make the roles and an empty warehouse."""
    for script in (ROLES, EXTENSIONS, SCHEMAS, TABLES, GRANTS):
        run(script)


def downgrade() -> None:
    """Take everything away: also what the registry made, and the roles unless another warehouse has them."""
    for script in (REMOVE_SCHEMAS, REMOVE_EXTENSIONS, REMOVE_ROLES):
        run(script)
