-- Contract: refuses rows just read (in p_target; with p_batch: of that batch) whose key is empty or not unique. The source has no
-- constraint that says so, and one key for two rows would lose one of them.
create or replace function mrr.check_key(p_table etl.source_table, p_target text, p_batch bigint)
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_id constant integer := (p_table).source_table_id;
  v_key constant text := etl.key_list(v_id, 's.%1$I');
  v_value text;
  v_copies bigint;
  v_is_empty boolean;
begin
  if v_key is null then
    return;
  end if;
  execute format('select row(%1$s)::text as key, count(*) as copies, bool_or(not (row(%1$s) is not null)) as is_empty from %2$s s%3$s'
                 ' group by %1$s having count(*) > 1 or bool_or(not (row(%1$s) is not null)) limit 1',
                 v_key, p_target::regclass, case when p_batch is null then '' else ' where s._hr_batch = $1 and s._hr_op = ''I''' end)
    into v_value, v_copies, v_is_empty using p_batch;
  if v_copies is not null then
    raise exception using
      errcode = case when v_is_empty then 'not_null_violation' else 'unique_violation' end,
      message = format('(%s) is no key of %I.%I of source %s: %s', array_to_string((p_table).key_columns, ', '),
                       (p_table).source_schema, (p_table).source_name, (p_table).source,
                       case when v_is_empty then 'it is empty in a row' else format('%s rows have %s', v_copies, v_value) end),
      hint = 'Mend the source; or register the table anew with another key, or with key => ''{}'' to compare it as a whole.';
  end if;
end
$$;

comment on function mrr.check_key(etl.source_table, text, bigint) is
  'Raises 23505 or 23502 where rows just read have a key that is not unique, or empty. Internal.';
revoke all on function mrr.check_key(etl.source_table, text, bigint) from public;
