-- requires: etl.begin_generation, etl.generations, etl.placed_hash
-- Contract: brings a mirror up to the change set of one batch and counts what the change set holds, whichever capture mode
-- wrote it. A row D of a keyless table takes the most recently captured of equal rows with it, so the mirror keeps the
-- dates that the facts keep.
-- Rows of the mirror are found one by one through its key, never by reading it whole: the cost is that of the changes,
-- whatever the mirror holds and the planner makes of it. Rows without a key are added to its newest generation (etl.placed_hash).
create or replace function mrr.apply_changes(p_table etl.source_table, p_batch bigint)
returns etl.row_counts
language plpgsql
set search_path = pg_catalog, pg_temp
set enable_hashjoin = off
set enable_mergejoin = off
as $$
declare
  v_id constant integer := (p_table).source_table_id;
  v_mirror constant text := (p_table).mirror;
  v_relation constant regclass := format('mrr.%I', v_mirror)::regclass;
  v_changes constant text := format('stg.%I', v_mirror || '_changes');
  v_same_key constant text := etl.key_list(v_id, 'c.%1$I = m.%1$I', ' and ');
  v_counts etl.row_counts := etl.counts();
begin
  execute format(
    'select count(*) filter (where c._hr_op = ''I''), count(*) filter (where c._hr_op = ''U''),'
    '       count(*) filter (where c._hr_op in (''D'', ''T'')) from %s c where c._hr_batch = $1', v_changes)
    into v_counts.rows_inserted, v_counts.rows_updated, v_counts.rows_deleted using p_batch;

  if v_counts.rows_deleted > 0 and v_same_key is not null then
    execute format('delete from mrr.%I m using %s c where c._hr_batch = $1 and c._hr_op = ''D'' and %s', v_mirror, v_changes, v_same_key)
      using p_batch;
  elsif v_counts.rows_deleted > 0 then
    execute format(
      'with gone as ('
      '   select n.image, n.copies, array(select etl.placed_hash(g, hashtextextended(n.image, 0)) from unnest($2) g) as places'
      '   from (select %1$s as image, count(*) as copies from %2$s c where c._hr_batch = $1 and c._hr_op = ''D'' group by 1) n),'
      ' equal as ('
      '   select m._hr_hash, m._hr_id, gone.copies,'
      '          row_number() over (partition by gone.image order by m._hr_batch desc, m._hr_id desc) as number'
      '   from gone join mrr.%3$I m on m._hr_hash = any (gone.places) and %4$s = gone.image)'
      ' delete from mrr.%3$I m using equal e where m._hr_hash = e._hr_hash and m._hr_id = e._hr_id and e.number <= e.copies',
      etl.row_image(v_id, 'c'), v_changes, v_mirror, etl.row_image(v_id, 'm'))
      using p_batch, etl.generations(v_relation);
  end if;
  if v_counts.rows_updated > 0 then
    execute format('update mrr.%I m set %s_hr_batch = $1 from %s c where c._hr_batch = $1 and c._hr_op = ''U'' and %s',
      v_mirror,
      (select string_agg(format('%1$I = c.%1$I, ', c.column_name), '' order by c.position)
       from etl.source_column c
       where c.source_table_id = v_id and c.mask is distinct from 'drop' and c.column_name is distinct from etl.distribution_column(p_table)),
      v_changes, v_same_key)
      using p_batch;
  end if;
  if v_counts.rows_inserted > 0 then
    if v_same_key is null then
      perform etl.begin_generation(v_relation);
    end if;
    -- in the order of the index, each of whose pages is then met once
    execute format('insert into mrr.%I (%s, _hr_batch%s) select %s, $1%s from %s c where c._hr_batch = $1 and c._hr_op = ''I'' order by %s',
      v_mirror, etl.column_list(v_id, '%1$I'), case when v_same_key is null then ', _hr_hash' else '' end,
      etl.column_list(v_id, 'c.%1$I'),
      case when v_same_key is null then format(', etl.placed_hash($2, hashtextextended(%s, 0)) as _hr_hash', etl.row_image(v_id, 'c')) else '' end, v_changes,
      coalesce(etl.key_list(v_id, 'c.%1$I'), '_hr_hash'))
      using p_batch, etl.newest_generation(v_relation);
  end if;
  return v_counts;
end
$$;

comment on function mrr.apply_changes(etl.source_table, bigint) is
  'Brings a mirror up to the change set of batch p_batch and returns how many rows were inserted, updated and deleted. Internal.';
revoke all on function mrr.apply_changes(etl.source_table, bigint) from public;
