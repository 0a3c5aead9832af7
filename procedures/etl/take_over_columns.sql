-- Contract: brings registry, mirror, change set and foreign table up to the columns that the source has now: added, dropped,
-- renamed and retyped ones. Columns added later stand behind the technical ones in the mirror. Masks stay with their
-- columns. Refuses to drop a key column. Quarantined rows are brought along: their columns' names, and the text by which
-- they are found again, unless the row as kept does not give that text exactly (json is kept as jsonb).
create or replace function etl.take_over_columns(p_table etl.source_table)
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_id constant integer := (p_table).source_table_id;
  v_tables constant text[] := array[format('mrr.%I', (p_table).mirror), format('stg.%I', (p_table).mirror || '_changes')];
  v_table text;
  v_change record;
  v_type text;
  v_images constant text := 'select q.quarantine_id, row(%s)::text collate "C" as row_key from stg.quarantine q'
                            ' cross join lateral jsonb_populate_record(null::stg.%I, q.row_data) c where q.mirror = $1';
  v_exact bigint[];
begin
  if stg.is_copy((p_table).mirror) then
    perform stg.end_copy((p_table).mirror, true);
  end if;
  execute format('select array_agg(q.quarantine_id) from stg.quarantine q join (' || v_images || ') i on i.quarantine_id = q.quarantine_id and i.row_key = q.row_key',
                 coalesce(etl.key_list(v_id, 'c.%1$I'), etl.column_list(v_id, 'c.%1$I')), (p_table).mirror || '_changes') into v_exact using (p_table).mirror;
  if etl.is_foreign((p_table).source) then
    perform etl.make_foreign_table(p_table); -- whose types the new columns get
  end if;
  for v_change in -- names may have been exchanged, so what is renamed gives up its old name first
    select c.position, c.column_name, c.mask
    from etl.source_column c
    join etl.source_columns((p_table).source, (p_table).source_schema, (p_table).source_name) n on n.column_position = c.position
    where c.source_table_id = v_id and c.column_name <> n.column_name
  loop
    if v_change.mask is distinct from 'drop' then
      foreach v_table in array v_tables loop
        execute format('alter table %s rename column %I to %I', v_table, v_change.column_name, '_hr_' || v_change.position);
      end loop;
      update stg.quarantine q set row_data = q.row_data - v_change.column_name || jsonb_build_object('_hr_' || v_change.position, q.row_data -> v_change.column_name)
      where q.mirror = (p_table).mirror and q.row_data ? v_change.column_name;
    end if;
    update etl.source_column c set column_name = '_hr_' || c.position where c.source_table_id = v_id and c.position = v_change.position;
    update etl.source_table t
    set key_columns = array_replace(t.key_columns, v_change.column_name, '_hr_' || v_change.position),
        watermark_column = case t.watermark_column when v_change.column_name then '_hr_' || v_change.position else t.watermark_column end
    where t.source_table_id = v_id;
  end loop;
  for v_change in
    select c.position, c.column_name as old_name, c.mirror_type as old_type, c.source_type as old_source_type, c.mask, n.*
    from (select x.* from etl.source_column x where x.source_table_id = v_id) c
    full join etl.source_columns((p_table).source, (p_table).source_schema, (p_table).source_name) n on n.column_position = c.position
    where c.column_name is distinct from n.column_name or c.source_type is distinct from n.source_type
    order by n.column_position nulls first
  loop
    if v_change.column_name is not null and v_change.type_oid is null and v_change.mask is distinct from 'drop' then
      perform etl.refuse_type(p_table, v_change.column_name, v_change.source_type, v_change.old_name is null);
      insert into etl.source_column (source_table_id, position, column_name, source_type, mirror_type, mask)
      values (v_id, v_change.column_position, v_change.column_name, v_change.source_type, 'text', 'drop');
      continue;
    end if;
    if v_change.column_name is null and v_change.old_name = any ((p_table).key_columns) then
      raise exception using
        errcode = 'object_not_in_prerequisite_state',
        message = format('key column %I of %I.%I of source %s is gone', v_change.old_name, (p_table).source_schema, (p_table).source_name, (p_table).source),
        hint = 'Register the table anew: call etl.remove_table(…, force => true); call etl.add_table(…);';
    end if;
    v_type := case when v_change.column_name is null then null when v_change.mask is not null then 'text'
                   else etl.import_type((p_table).source, v_change.type_oid, v_change.type_modifier) end;
    foreach v_table in array v_tables loop
      if v_change.mask = 'drop' then
        null;
      elsif v_change.column_name is null then
        execute format('alter table %s drop column %I', v_table, v_change.old_name);
      elsif v_change.old_name is null then
        execute format('alter table %s add column %I %s', v_table, v_change.column_name, v_type);
      else
        if v_change.old_name <> v_change.column_name then
          execute format('alter table %s rename column %I to %I', v_table, v_change.old_name, v_change.column_name);
        end if;
        if v_type <> v_change.old_type then
          perform etl.change_type(v_table, v_change.column_name, v_type);
        end if;
      end if;
    end loop;
    update stg.quarantine q
    set row_data = q.row_data - v_change.old_name
                   || case when v_change.column_name is null then '{}' else jsonb_build_object(v_change.column_name, q.row_data -> v_change.old_name) end
    where q.mirror = (p_table).mirror and q.row_data ? v_change.old_name;
    if v_change.column_name is null then
      delete from etl.source_column c where c.source_table_id = v_id and c.position = v_change.position;
    elsif v_change.old_name is null then
      insert into etl.source_column (source_table_id, position, column_name, source_type, mirror_type)
      values (v_id, v_change.column_position, v_change.column_name, v_change.source_type, v_type);
    else
      update etl.source_column c
      set column_name = v_change.column_name, source_type = v_change.source_type, mirror_type = v_type
      where c.source_table_id = v_id and c.position = v_change.position;
      update etl.source_table t
      set key_columns = array_replace(t.key_columns, v_change.old_name, v_change.column_name),
          watermark_column = case t.watermark_column when v_change.old_name then v_change.column_name else t.watermark_column end
      where t.source_table_id = v_id;
    end if;
  end loop;
  if not etl.is_foreign((p_table).source) then
    perform etl.make_foreign_table(p_table);
  end if;
  perform mrr.rehash(p_table);
  if v_exact is not null then
    execute format('update stg.quarantine q set row_key = i.row_key from (' || v_images || ') i'
                   ' where i.quarantine_id = q.quarantine_id and q.quarantine_id = any ($2) and i.row_key <> q.row_key',
                   coalesce(etl.key_list(v_id, 'c.%1$I'), etl.column_list(v_id, 'c.%1$I')), (p_table).mirror || '_changes')
      using (p_table).mirror, v_exact;
  end if;
end
$$;

comment on function etl.take_over_columns(etl.source_table) is
  'Brings mirror, change set, foreign table and registry of a table up to the columns of its source. Raises 55000 where a key column is gone. Needs the open connection. Internal.';
revoke all on function etl.take_over_columns(etl.source_table) from public;
