-- Contract: the net effect of pg_temp.headrace_log on a table without a key, into the change set: per row image as many rows
-- I or D as there are more inserts or more deletes. Images that no row D has are not netted, since there is nothing to net.
create or replace function mrr.net_keyless(p_table etl.source_table, p_batch bigint)
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_id constant integer := (p_table).source_table_id;
begin
  if not exists (select from pg_temp.headrace_log l where l._hr_op = 'D') then
    execute format('insert into stg.%I (%s, _hr_batch, _hr_op) select %s, $1, ''I'' from pg_temp.headrace_log l order by l._hr_seq',
      (p_table).mirror || '_changes', etl.column_list(v_id, '%1$I'), etl.column_list(v_id, 'l.%1$I'))
      using p_batch;
    return;
  end if;
  execute format(
    'with gone as (select distinct %4$s as image from pg_temp.headrace_log l where l._hr_op = ''D''),'
    ' net as ('
    '   select max(l._hr_seq) as seq, sum(case l._hr_op when ''I'' then 1 else -1 end) as copies'
    '   from pg_temp.headrace_log l join gone g on g.image = %4$s group by g.image)'
    ' insert into stg.%1$I (%2$s, _hr_batch, _hr_op)'
    ' select %3$s, $1, l._hr_op from ('
    '   select l.* from pg_temp.headrace_log l where not exists (select from gone g where g.image = %4$s)'
    '   union all'
    '   select %3$s, l._hr_seq, case when n.copies > 0 then ''I'' else ''D'' end::"char", l._hr_kept, l._hr_old'
    '   from net n join pg_temp.headrace_log l on l._hr_seq = n.seq cross join lateral generate_series(1, abs(n.copies)) copy) l'
    ' order by l._hr_op = ''I'', l._hr_seq',
    (p_table).mirror || '_changes', etl.column_list(v_id, '%1$I'), etl.column_list(v_id, 'l.%1$I'), etl.row_image(v_id, 'l'))
    using p_batch;
end
$$;

comment on function mrr.net_keyless(etl.source_table, bigint) is
  'Writes the net effect of pg_temp.headrace_log on the mirror of a table without a key into the change set. Internal.';
revoke all on function mrr.net_keyless(etl.source_table, bigint) from public;
