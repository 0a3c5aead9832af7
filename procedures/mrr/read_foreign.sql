-- Contract: what mrr.read_source() is for a source over another wrapper: reads a table through its foreign table in this session's
-- transaction, and masks on arrival. Refuses a scan that ended early, which would be taken for deleted rows.
-- Invariant: each row of a table with a key has one of its own.
create or replace function mrr.read_foreign(
  p_table etl.source_table, p_run_id bigint, p_target text, p_batch bigint default null, p_condition text default '')
returns bigint
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_id constant integer := (p_table).source_table_id;
  v_origin constant text := format('%I.%I of source %s', (p_table).source_schema, (p_table).source_name, (p_table).source);
  v_from constant text := format('from %I.%I r%s', (p_table).source, (p_table).mirror, coalesce(' where ' || nullif(p_condition, ''), ''));
  v_since constant timestamptz := clock_timestamp();
  v_rows bigint;
  v_detail text;
  v_context text;
begin
  perform etl.show_progress(p_run_id, 'c', v_id, 0, 0, v_since);
  execute format('insert into %s (%s%s) select %s%s %s',
    p_target::regclass, etl.column_list(v_id, '%1$I'), case when p_batch is null then '' else ', _hr_batch, _hr_op' end,
    (select string_agg(format(case c.mask when 'hash' then 'case when r.%1$I is not null then etl.mask_hash(format(''%%s'', r.%1$I)) end'
                                          when 'truncate' then 'case when r.%1$I is not null then left(format(''%%s'', r.%1$I), %2$s) end'
                                          else 'r.%1$I' end, c.column_name, c.mask_length), ', ' order by c.position)
     from etl.source_column c where c.source_table_id = v_id and c.mask is distinct from 'drop'),
    case when p_batch is null then '' else ', $1, ''I''' end, v_from)
    using p_batch;
  get diagnostics v_rows = row_count;
  perform etl.show_progress(p_run_id, 'c', v_id, v_rows, v_rows, v_since);
  perform mrr.check_count(p_table, v_rows, p_condition);
  perform mrr.check_key(p_table, p_target, p_batch);
  return v_rows;
exception when data_exception then
  get stacked diagnostics v_detail = pg_exception_detail, v_context = pg_exception_context;
  raise exception using
    errcode = sqlstate,
    message = format('%s: %s', v_origin, sqlerrm),
    detail = coalesce(nullif(v_detail, ''), substring(v_context from 'COPY [^\n]+, line \d+(?:, column [^:\n]+)?'), ''), -- not the line itself
    hint = format('If columns have changed: call etl.accept_columns(%L, %L); if a value does not fit its type, register the table anew with another, such as columns => ''{"…": "text"}''.',
                  (p_table).source, format('%I.%I', (p_table).source_schema, (p_table).source_name));
end
$$;

comment on function mrr.read_foreign(etl.source_table, bigint, text, bigint, text) is
  'Copies a table of a source over another wrapper, masked, into the table p_target and returns the rows read; parameters as of mrr.read_source(). Raises 08006 where rows are missing, 23505 or 23502 for a key that is none. Internal.';
revoke all on function mrr.read_foreign(etl.source_table, bigint, text, bigint, text) from public;
