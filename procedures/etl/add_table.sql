-- Contract: registers a source table for mirroring: checks what it was given against the source, makes the foreign table,
-- the mirror and the change set, and from the pipeline's next run the table is captured. Nothing is left behind on error.
-- A pipeline that does not exist yet is made; by default a table is a pipeline of its own, so it never blocks another.
-- Where columns are masked, a changed column stops the capture by default: a new one may hold personal data too.
create or replace procedure etl.add_table(
  source text,
  source_table text,
  pipeline text default null,
  capture text default 'full',
  key text[] default null,
  mirror text default null,
  drop_columns text[] default '{}',
  hash_columns text[] default '{}',
  truncate_columns jsonb default '{}',
  inserts_only boolean default false,
  on_schema_change text default null,
  watermark text default null,
  overlap text default null,
  full_every interval default null,
  columns json default null,
  options jsonb default null)
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  v_source constant text := add_table.source;
  v_identifier constant text[] := etl.parse_table(add_table.source_table);
  v_mirror constant text := coalesce(add_table.mirror, etl.mirror_name(v_source, v_identifier[1], v_identifier[2]));
  v_pipeline constant text := coalesce(add_table.pipeline, v_mirror);
  v_table etl.source_table;
begin
  if not exists (select from etl.source s where s.source = v_source) then
    raise exception using
      errcode = 'undefined_object',
      message = format('there is no source %s', v_source),
      hint = 'Register it first: call etl.add_source(…). The registered ones: select * from etl.source;';
  elsif coalesce(add_table.capture, '') not in ('full', 'log', 'watermark') or (add_table.capture = 'watermark') <> (add_table.watermark is not null)
        or add_table.inserts_only and add_table.capture <> 'log' or coalesce(add_table.on_schema_change, 'evolve') not in ('evolve', 'resync', 'stop') then
    raise exception using
      errcode = 'invalid_parameter_value',
      message = format('%s of source %s cannot be captured as asked', add_table.source_table, v_source),
      detail = format('capture %s, watermark %s, inserts_only %s, on_schema_change %s', coalesce(add_table.capture, 'null'), coalesce(add_table.watermark, 'null'),
                      add_table.inserts_only, coalesce(add_table.on_schema_change, 'null')),
      hint = 'capture is full, log or watermark; watermark names a column for capture => ''watermark'' and only for it; inserts_only is for log; on_schema_change is evolve, resync or stop.';
  elsif exists (select from etl.source_table t where t.source = v_source and t.source_schema = v_identifier[1] and t.source_name = v_identifier[2]) then
    raise exception using
      errcode = 'duplicate_object',
      message = format('%s of source %s is already mirrored', add_table.source_table, v_source),
      hint = format('To register it anew: call etl.remove_table(%L, %L);', v_source, add_table.source_table);
  elsif octet_length(v_mirror) not between 1 and 55 or exists (select from etl.source_table t where t.mirror = v_mirror) then
    raise exception using
      errcode = 'invalid_parameter_value',
      message = format('the mirror cannot be named %s', v_mirror),
      hint = 'A mirror''s name has 1 to 55 bytes and is not yet taken; leave mirror out to have one chosen.';
  end if;

  if (add_table.columns is not null or add_table.options is not null) and not etl.is_foreign(v_source) then
    raise exception using
      errcode = 'invalid_parameter_value',
      message = format('source %s is PostgreSQL, which tells the columns of %s itself', v_source, add_table.source_table),
      hint = 'Leave out columns and options: they are for sources over other foreign data wrappers.';
  end if;
  insert into etl.pipeline (pipeline) values (v_pipeline) on conflict do nothing;
  insert into etl.source_table (source, source_schema, source_name, mirror, pipeline, capture, inserts_only, on_schema_change,
                                watermark_column, watermark_overlap, full_every)
  values (v_source, v_identifier[1], v_identifier[2], v_mirror, v_pipeline, add_table.capture, add_table.inserts_only,
          coalesce(add_table.on_schema_change,
                   case when add_table.drop_columns = '{}' and add_table.hash_columns = '{}' and add_table.truncate_columns = '{}' then 'evolve' else 'stop' end),
          add_table.watermark, add_table.overlap, add_table.full_every)
  returning * into v_table;
  perform etl.connect_source(v_source);
  if etl.is_foreign(v_source) then
    perform etl.refuse_log(v_table);
    perform etl.define_foreign_table(v_table, add_table.columns, add_table.options);
  end if;
  perform etl.register_columns(v_table, add_table.drop_columns, add_table.hash_columns, add_table.truncate_columns);
  update etl.source_table t set key_columns = etl.choose_key(v_table, add_table.key)
  where t.source_table_id = v_table.source_table_id
  returning t.* into v_table;
  perform etl.make_mirror(v_table);
  if v_table.capture = 'log' then
    perform etl.prepare_log(v_table);
  elsif v_table.capture = 'watermark' then
    perform etl.check_watermark(v_table);
  end if;
  perform etl.disconnect_source(v_source);
end
$$;

comment on procedure etl.add_table(text, text, text, text, text[], text, text[], text[], jsonb, boolean, text, text, text, interval, json, jsonb) is
  'Registers a source table for mirroring. source: its source; source_table: schema.table, quoted as in SQL; pipeline: made if missing, by default one of the mirror''s name; capture: full, log or watermark; key: its key columns, by default its primary key, {} to treat it as keyless; mirror: name of the mirror; drop_columns: columns left out; hash_columns: columns replaced by a keyed hash; truncate_columns: {"column": characters kept}; inserts_only: mode log for a table without a replica identity; on_schema_change: evolve, resync or stop, by default stop where columns are masked and else evolve; watermark: growing column of mode watermark; overlap: how far below the mark is read again; full_every: how often a full comparison finds deleted rows; columns, for sources over other wrappers: types of columns that are to have another than the default, or all columns where the wrapper does not tell them, {"column": "type"}; options, likewise: of the foreign table, such as filename. Raises 0A000 for a type that cannot be held, 42704, 42P01, 42703, 42710, 22023, 55000 where the source is not ready for log. For the administrator (member of headrace_owner).';
revoke all on procedure etl.add_table(text, text, text, text, text[], text, text[], text[], jsonb, boolean, text, text, text, interval, json, jsonb) from public;
