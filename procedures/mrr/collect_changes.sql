-- requires: mrr.typed_list
-- Contract: the rows of pg_temp.headrace_stream that concern one table, typed and masked as in the mirror, into
-- pg_temp.headrace_log: I a new row, D an old row or key, U a row whose key stayed. A changed key is D and I; without a key an
-- update is D and I. What the table's copy saw is left out, and all that lies before its last TRUNCATE. Returns whether
-- there was one, and whether the changes have columns that are not registered. New rows, of which there are most, are
-- typed at once, unless the columns changed meanwhile; what has an old row goes by way of pg_temp.headrace_change. Where there
-- is nothing but new rows, of a table without a key and since no TRUNCATE, nothing is to be netted, and they go straight into the change set of
-- batch p_batch. rows_read: all of them. Raises 55000 where old rows cannot be told.
create or replace function mrr.collect_changes(
  p_table etl.source_table, p_batch bigint, out is_truncated boolean, out has_new_columns boolean, out rows_read bigint)
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  c_end constant bigint := 9223372036854775807;
  v_id constant integer := (p_table).source_table_id;
  v_columns constant text := etl.column_list(v_id, '%1$I');
  v_names text[];
  v_key text;
  v_last_truncate bigint;
  v_is_unknown boolean;
  v_kind record;
  v_news text;
begin
  rows_read := 0::bigint;
  execute format('create temporary table headrace_log on commit drop as select %s, 0::bigint as _hr_seq, ''I''::"char" as _hr_op, null::text[] as _hr_kept, null::bigint as _hr_old from mrr.%I with no data',
    v_columns, (p_table).mirror);

  create temporary table headrace_relation on commit drop as
  select r.first_seq, r.end_seq, r.relation, r.column_names
  from (
    select s.seq as first_seq, coalesce(lead(s.seq) over (partition by d.relation order by s.seq), c_end) as end_seq, d.*
    from pg_temp.headrace_stream s
    cross join lateral mrr.decode_relation(s.message) d
    where s.tag = 'R') r
  where r.schema_name = (p_table).source_schema and r.table_name = (p_table).source_name;
  select max(s.seq) into v_last_truncate
  from pg_temp.headrace_stream s
  where s.tag = 'T' and not mrr.was_seen(s.xid, (p_table).copy_snapshot) and exists (
    select from generate_series(0, mrr.int_at(s.message, 1, 4)::integer - 1) n
    join pg_temp.headrace_relation r on r.relation = mrr.int_at(s.message, 6 + 4 * n, 4) and s.seq > r.first_seq and s.seq < r.end_seq);
  is_truncated := v_last_truncate is not null;

  create temporary table headrace_change (seq bigint, tag "char", old_kind "char", old_values text[], new_values text[], kept integer[], column_names text[])
    on commit drop;
  select min(r.column_names) into v_names from pg_temp.headrace_relation r having count(distinct r.column_names) = 1;
  for v_kind in
    select cardinality(r.column_names) as columns, bool_or(k.tag = 'I') as has_new, bool_or(k.tag <> 'I' and not k.is_pair) as has_single,
           bool_or(k.is_pair) as has_pair, bool_and(k.tag = 'I') as is_new,
           min(r.first_seq) as first_seq, case when (select min(o.end_seq) = c_end and count(*) = 1 from pg_temp.headrace_relation o) then min(r.relation) end as relation
    from pg_temp.headrace_relation r join pg_temp.headrace_kind k on k.relation = r.relation
    group by 1
  loop
    if v_kind.has_new and v_names is not null then
      v_news := mrr.decode_query(v_kind.columns, '{I}', false, v_kind.relation);
      if v_kind.is_new and not is_truncated and (p_table).key_columns is null then
        execute format('insert into stg.%I (%s, _hr_batch, _hr_op) select %s, $3, ''I'' from (%s) v (seq, tag, old_kind, old_values, new_values, kept, column_names)',
          (p_table).mirror || '_changes', v_columns, mrr.typed_list(p_table, v_names, 'new_values'), v_news)
          using v_kind.first_seq, (p_table).copy_snapshot, p_batch;
        get diagnostics rows_read = row_count;
      else
        execute mrr.typed_changes(p_table, v_names, 'new_values', 'I', 'true', p_from => format('(%s)', v_news))
          using greatest(v_last_truncate, v_kind.first_seq), (p_table).copy_snapshot;
      end if;
    end if;
    if v_kind.has_single or v_kind.has_new and v_names is null then
      execute 'insert into pg_temp.headrace_change ' || mrr.decode_query(v_kind.columns, case when v_names is null then '{I,U,D}' else '{U,D}' end::"char"[], false)
        using coalesce(v_last_truncate, 0), (p_table).copy_snapshot;
    end if;
    if v_kind.has_pair then
      execute 'insert into pg_temp.headrace_change ' || mrr.decode_query(v_kind.columns, '{U}', true)
        using coalesce(v_last_truncate, 0), (p_table).copy_snapshot;
    end if;
  end loop;
  drop table pg_temp.headrace_relation;
  has_new_columns := exists (
    select from (
      select v_names as column_names where rows_read > 0 or exists (select from pg_temp.headrace_log) or exists (select from pg_temp.headrace_change)
      union all
      select distinct c.column_names from pg_temp.headrace_change c where v_names is null) r
    cross join unnest(r.column_names) n (name)
    where not exists (select from etl.source_column x where x.source_table_id = v_id and x.column_name = n.name));
  if rows_read > 0 then
    drop table pg_temp.headrace_change;
    return;
  end if;

  execute mrr.typed_changes(p_table, v_names, 'new_values', 'I', 'c.tag = ''I''');
  if (p_table).key_columns is null then
    perform mrr.fill_kept_from_old();
    execute mrr.typed_changes(p_table, v_names, 'old_values', 'D', 'c.tag in (''U'', ''D'')');
    execute mrr.typed_changes(p_table, v_names, 'new_values', 'I', 'c.tag = ''U''');
  else
    v_key := array_to_string(array(
      select format('c.old_values[array_position(c.column_names, %1$L)] is distinct from c.new_values[array_position(c.column_names, %1$L)]', k.name)
      from unnest((p_table).key_columns) k (name)), ' or ');
    execute mrr.typed_changes(p_table, v_names, 'new_values', 'U', format('c.tag = ''U'' and (c.old_values is null or not (%s))', v_key));
    execute mrr.typed_changes(p_table, v_names, 'old_values', 'D', format('c.tag = ''D'' or c.tag = ''U'' and c.old_values is not null and (%s)', v_key));
    execute mrr.typed_changes(p_table, v_names, 'new_values', 'I', format('c.tag = ''U'' and c.old_values is not null and (%s)', v_key), true);
  end if;
  execute format('select exists (select from pg_temp.headrace_log l where l._hr_op = ''D'' and (%s))',
    coalesce(etl.key_list(v_id, 'l.%1$I is null', ' or '),
             'exists (select from pg_temp.headrace_change c where c.tag in (''U'', ''D'') and c.old_kind is distinct from ''O'')'))
    into v_is_unknown;
  if v_is_unknown then
    raise exception using
      errcode = 'object_not_in_prerequisite_state',
      message = format('the replica identity of %I.%I of source %s no longer tells which rows were changed', (p_table).source_schema, (p_table).source_name, (p_table).source),
      hint = format('At the source: alter table %I.%I replica identity %s; Here then: call etl.rebuild(%L);', (p_table).source_schema, (p_table).source_name,
                    case when (p_table).key_columns is null then 'full' else 'default' end, format('mrr.%I', (p_table).mirror));
  end if;
  drop table pg_temp.headrace_change;
  analyze pg_temp.headrace_log;
  rows_read := (select count(*) from pg_temp.headrace_log);
end
$$;

comment on function mrr.collect_changes(etl.source_table, bigint) is
  'Types and masks what pg_temp.headrace_stream says of one table into pg_temp.headrace_log, or, where it is new rows without a key alone, into the change set of batch p_batch. Internal.';
revoke all on function mrr.collect_changes(etl.source_table, bigint) from public;
