-- Contract: the step that loads any SCD2 dimension registered in etl.dimension from its stage function, for one batch.
-- Of several changes of a member in a batch the last one counts, and one that still exists beats a deletion.
-- Invariants: one version per member and batch; periods never overlap, and each begins at least a microsecond after its
-- predecessor's begin, whatever the clock does; a fact of batch b belongs to the version with batch_from <= b < batch_to,
-- and these ranges tile all batches, so every fact finds exactly one version.
-- New versions come in no order of their keys: an index of the exclusion constraint, of all that come in one, takes twice as long.
-- A moment plus an interval depends on the session's time zone (STABLE), which Citus refuses in an update: hence by way of UTC.
create or replace function dwh.load_dimension(p_batch bigint, p_step etl.step)
returns etl.row_counts
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_dimension etl.dimension;
  v_captured_at constant timestamptz := (select b.captured_at from etl.batch b where b.batch_id = p_batch);
  v_counts etl.row_counts := etl.counts();
  v_is_truncated boolean;
  v_incoming text;
  v_table regclass;
begin
  select d.* into strict v_dimension from etl.dimension d where d.dimension = (p_step).target;
  v_table := v_dimension.dimension::regclass;
  execute format('select count(*), coalesce(bool_or(s.op = ''T''), false) from %s($1) s', v_dimension.stage::regproc)
    into v_counts.rows_read, v_is_truncated using p_batch;
  v_incoming := dwh.incoming_members(v_dimension, v_is_truncated);

  execute format(
    'with incoming as materialized (%1$s),'
    ' completed as ('
    '   update %2$s d set %3$s, is_inferred = false from incoming i'
    '   where d.source = i.source and d.%4$I = i.%4$I and d.is_current and d.is_inferred and i.op <> ''D'' returning d.%5$I),'
    ' noted as (insert into stg.completed_member (dimension, member_key) select $2, c.%5$I from completed c on conflict do nothing)'
    ' select count(*) from completed',
    v_incoming, v_table, dwh.attribute_list(v_dimension, '%1$I = i.%1$I'), v_dimension.business_key, v_dimension.surrogate_key)
    into v_counts.rows_updated using p_batch, v_dimension.dimension;

  execute format(
    'with incoming as materialized (%1$s),'
    ' closed as ('
    '   update %2$s d set is_current = false, valid_to = greatest($2, (d.valid_from at time zone ''UTC'' + interval ''1 microsecond'') at time zone ''UTC''),'
    '          batch_to = case i.op when ''D'' then d.batch_to else $1 end'
    '   from incoming i'
    '   where d.source = i.source and d.%4$I = i.%4$I and d.is_current and (i.op = ''D'' or %3$s) returning 1)'
    ' select count(*) from closed',
    v_incoming, v_table, dwh.attribute_list(v_dimension, 'd.%1$I is distinct from i.%1$I', ' or '), v_dimension.business_key)
    into v_counts.rows_deleted using p_batch, v_captured_at;

  execute format(
    'with incoming as materialized (%1$s),'
    ' new as materialized ('
    '   select i.*, p.valid_to, p.is_deleted from incoming i'
    '   left join lateral ('
    '     select d.valid_to, not d.is_current and d.batch_to = 9223372036854775807 as is_deleted from %2$s d'
    '     where d.source = i.source and d.%5$I = i.%5$I order by d.batch_from desc limit 1) p on true'
    '   where i.op <> ''D'' and p.valid_to is distinct from ''infinity''),'
    ' opened as ('
    '   insert into %2$s (source, %5$I, %3$s, valid_from, batch_from)'
    '   select i.source, i.%5$I, %4$s, greatest($2, i.valid_to), case when i.valid_to is null then 0 else $1 end from new i'
    '   order by hashtextextended(i.%5$I::text, 0) returning 1),'
    ' succeeded as ('
    '   update %2$s d set batch_to = $1 from new i'
    '   where i.is_deleted and d.source = i.source and d.%5$I = i.%5$I and not d.is_current and d.batch_to = 9223372036854775807)'
    ' select count(*) from opened',
    v_incoming, v_table, dwh.attribute_list(v_dimension, '%1$I'), dwh.attribute_list(v_dimension, 'i.%1$I'),
    v_dimension.business_key)
    into v_counts.rows_inserted using p_batch, v_captured_at;
  if v_counts.rows_inserted > 0.1 * (select greatest(c.reltuples, 0) from pg_class c where c.oid = v_table) then
    perform etl.analyze_table(v_table);
  end if;
  return v_counts;
end
$$;

comment on function dwh.load_dimension(bigint, etl.step) is
  'Step: loads the SCD2 dimension p_step.target from its stage function for batch p_batch: completes inferred members in place, closes periods, opens versions. Internal.';
revoke all on function dwh.load_dimension(bigint, etl.step) from public;
