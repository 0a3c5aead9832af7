-- requires: etl.describe_mirror, etl.distribution_column
-- Contract: makes what a registered table needs here: the foreign table, the mirror and the change set. Technical columns come last and begin with _hr_.
-- On a cluster the mirror is distributed, unless etl.layout says otherwise; the change set, which is written and read as a
-- whole, stays on the coordinator.
create or replace function etl.make_mirror(p_table etl.source_table)
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_id constant integer := (p_table).source_table_id;
  v_mirror constant text := (p_table).mirror;
  v_columns constant text := etl.column_list(v_id, '%1$I %2$s');
begin
  perform etl.make_foreign_table(p_table);
  execute format('create table mrr.%I (%s, _hr_batch bigint not null, %s)', v_mirror, v_columns,
    case when (p_table).key_columns is null
         then '_hr_hash bigint not null, _hr_id bigint generated always as identity (cache 1000), primary key (_hr_hash, _hr_id)'
         else format('primary key (%s)', etl.key_list(v_id, '%1$I')) end);
  perform etl.describe_mirror(p_table);

  execute format(
    'create table stg.%I (%s, _hr_seq bigint not null default nextval(''etl.change_seq''), _hr_batch bigint not null,'
    ' _hr_op "char" not null check (_hr_op in (''I'', ''U'', ''D'', ''T'')), _hr_origin bigint, primary key (_hr_batch, _hr_seq))',
    v_mirror || '_changes', v_columns);
  execute format('comment on table stg.%I is %L', v_mirror || '_changes', 'Change set of mirror ' || v_mirror || ': its changes in the waiting batches.');
  execute format('comment on column stg.%I._hr_seq is %L', v_mirror || '_changes', 'Order of the changes.');
  execute format('comment on column stg.%I._hr_batch is %L', v_mirror || '_changes', 'Batch.');
  execute format('comment on column stg.%I._hr_op is %L', v_mirror || '_changes', 'I inserted, U updated, D deleted, T table truncated.');
  execute format('comment on column stg.%I._hr_origin is %L', v_mirror || '_changes', 'Batch that first captured a replayed or rebuilt row; null for the batch itself.');

  insert into etl.layout (relation, kind, distribution_column)
  select format('mrr.%I', v_mirror), case when d.name is null then 'local' else 'distributed' end, d.name
  from etl.distribution_column(p_table) d (name)
  on conflict do nothing;
  call etl.apply_layout();
end
$$;

comment on function etl.make_mirror(etl.source_table) is
  'Makes the foreign table, mirror and change set of a registered table, and gives the mirror its place in etl.layout. Internal.';
revoke all on function etl.make_mirror(etl.source_table) from public;
