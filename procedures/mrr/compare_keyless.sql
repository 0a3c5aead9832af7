-- requires: etl.generations, etl.placed_hash
-- Contract: writes into the change set what tells a fresh snapshot (pg_temp.headrace_snapshot) of a table without a key
-- from its mirror (its rows under p_condition, if the snapshot was read under one), as multisets of row images: n more copies are n rows I, n fewer are n rows D.
create or replace function mrr.compare_keyless(p_table etl.source_table, p_batch bigint, p_condition text default '')
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_id constant integer := (p_table).source_table_id;
  v_mirror constant text := (p_table).mirror;
  v_insert constant text := format('insert into stg.%I (%s, _hr_batch, _hr_op) ', v_mirror || '_changes', etl.column_list(v_id, '%1$I'));
begin
  execute format(
    'create temporary table headrace_difference on commit drop as'
    ' select image, coalesce(s.copies, 0) - coalesce(m.copies, 0) as copies'
    ' from (select %s as image, count(*) as copies from pg_temp.headrace_snapshot s group by 1) s'
    ' full join (select %s as image, count(*) as copies from mrr.%I m%s group by 1) m using (image)'
    ' where s.copies is distinct from m.copies',
    etl.row_image(v_id, 's'), etl.row_image(v_id, 'm'), v_mirror, coalesce(' where ' || nullif(p_condition, ''), ''));
  analyze pg_temp.headrace_difference;
  execute v_insert || format(
    'select %s, $1, ''D'' from ('
    '   select distinct on (d.image) m.*, d.copies as _hr_copies'
    '   from (select x.image, x.copies, array(select etl.placed_hash(g, hashtextextended(x.image, 0)) from unnest($2) g) as places'
    '         from pg_temp.headrace_difference x where x.copies < 0 offset 0) d'
    '   join mrr.%I m on m._hr_hash = any (d.places) and %s = d.image) m, generate_series(1, -m._hr_copies)',
    etl.column_list(v_id, 'm.%1$I'), v_mirror, etl.row_image(v_id, 'm'))
    using p_batch, etl.generations(format('mrr.%I', v_mirror)::regclass);
  execute v_insert || format(
    'select %s, $1, ''I'' from ('
    '   select distinct on (d.image) s.*, d.copies as _hr_copies'
    '   from pg_temp.headrace_difference d join pg_temp.headrace_snapshot s on %s = d.image'
    '   where d.copies > 0) s, generate_series(1, s._hr_copies)',
    etl.column_list(v_id, 's.%1$I'), etl.row_image(v_id, 's'))
    using p_batch;
  drop table pg_temp.headrace_difference;
end
$$;

comment on function mrr.compare_keyless(etl.source_table, bigint, text) is
  'Writes the change set between pg_temp.headrace_snapshot and the mirror of a table without a key, compared as multisets; p_condition: what the snapshot was read under. Internal.';
revoke all on function mrr.compare_keyless(etl.source_table, bigint, text) from public;
