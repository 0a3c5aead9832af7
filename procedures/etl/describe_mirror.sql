-- Contract: says in comments what a mirror and its technical columns are.
create or replace function etl.describe_mirror(p_table etl.source_table)
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_mirror constant text := (p_table).mirror;
begin
  execute format('comment on table mrr.%I is %L', v_mirror,
    format('Mirror of %I.%I of source %s.', (p_table).source_schema, (p_table).source_name, (p_table).source));
  execute format('comment on column mrr.%I._hr_batch is %L', v_mirror, 'Batch that last changed the row.');
  if (p_table).key_columns is null then
    execute format('comment on column mrr.%I._hr_hash is %L', v_mirror, 'Hash of the row''s text form, by which equal rows are found.');
    execute format('comment on column mrr.%I._hr_id is %L', v_mirror, 'Number of the row; the highest of equal ones is the newest.');
  end if;
end
$$;

comment on function etl.describe_mirror(etl.source_table) is 'Sets the comments of a mirror. Internal.';
revoke all on function etl.describe_mirror(etl.source_table) from public;
