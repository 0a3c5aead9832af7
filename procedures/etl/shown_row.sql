-- Contract: of a row as jsonb, what the policy of etl.settings.reader_samples lets a reader see: rows: all; masked: its
-- numbers, booleans and nulls, while each text that is no date or number is three dots; none: null. An array is an array of rows.
-- A view of dwh calls it, and who reads a view must be allowed to call what that calls.
create or replace function etl.shown_row(p_row jsonb, p_policy text)
returns jsonb
language sql
immutable
parallel safe
set search_path = pg_catalog, pg_temp
as $$
  select case
    when p_policy = 'rows' then p_row
    when p_policy <> 'masked' then null
    else (
      select case jsonb_typeof(p_row) when 'array' then jsonb_agg(r.row order by r.position) else (jsonb_agg(r.row))->0 end
      from (
        select e.position,
               (select jsonb_object_agg(f.key, case when jsonb_typeof(f.value) in ('number', 'boolean', 'null')
                                                      or f.value #>> '{}' ~ '^\d{4}-\d\d-\d\d([T ][\d:.+Z-]*)?$' then f.value
                                                    else '"…"' end)
                from jsonb_each(e.row) f) as row
        from jsonb_array_elements(case jsonb_typeof(p_row) when 'array' then p_row else jsonb_build_array(p_row) end)
             with ordinality e (row, position)
        where jsonb_typeof(e.row) = 'object'
      ) r
    )
  end
$$;

comment on function etl.shown_row(jsonb, text) is
  'What a reader may see of the row, or array of rows, p_row by the policy p_policy of etl.settings.reader_samples. Internal; in views that headrace_reader reads.';
revoke all on function etl.shown_row(jsonb, text) from public;
grant execute on function etl.shown_row(jsonb, text) to headrace_reader;
